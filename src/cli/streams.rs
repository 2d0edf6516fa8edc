//! The standard streams, as they were given.
//!
//! Rust's runtime opens /dev/null in place of a closed stream, so that lost output would count
//! as written. In `main` the two can no longer be told apart, as a user may mean /dev/null. So
//! this checks the streams before the runtime starts.

use std::fs::File;
use std::io::Result;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::io::fcntl_getfd;
use rustix::stdio;

static STDIN_IS_CLOSED: AtomicBool = AtomicBool::new(false);
static STDOUT_IS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Runs before the runtime starts, so it may only make system calls.
#[ctor::ctor(unsafe)]
fn check_streams() {
    STDIN_IS_CLOSED.store(fcntl_getfd(stdio::stdin()).is_err(), Relaxed);
    STDOUT_IS_CLOSED.store(fcntl_getfd(stdio::stdout()).is_err(), Relaxed);
}

/// Returns whether standard output was closed when the program started.
pub fn is_stdout_closed() -> bool {
    STDOUT_IS_CLOSED.load(Relaxed)
}

/// Returns a handle on standard input; if that was closed, each read fails.
pub fn stdin() -> Result<File> {
    if STDIN_IS_CLOSED.load(Relaxed) {
        return File::options().write(true).open("/dev/null");
    }
    std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map(File::from)
}

/// Returns a handle on standard output; if that was closed, each write fails.
pub fn stdout() -> Result<File> {
    if is_stdout_closed() {
        return File::open("/dev/null");
    }
    std::io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .map(File::from)
}
