//! The standard streams, as they were given.
//!
//! Rust's runtime opens /dev/null in place of a stream that is closed, and what is
//! written there would count as written. Once `main` begins, nothing tells it from a
//! /dev/null that was given, as Python's `subprocess.DEVNULL`: so it is looked at as
//! the program is loaded.

use std::fs::File;
use std::io::Result;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::io::fcntl_getfd;
use rustix::stdio;

static STDIN_IS_CLOSED: AtomicBool = AtomicBool::new(false);
static STDOUT_IS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Runs before the runtime, so it is system calls alone.
#[ctor::ctor(unsafe)]
fn look() {
    STDIN_IS_CLOSED.store(fcntl_getfd(stdio::stdin()).is_err(), Relaxed);
    STDOUT_IS_CLOSED.store(fcntl_getfd(stdio::stdout()).is_err(), Relaxed);
}

pub fn is_stdout_closed() -> bool {
    STDOUT_IS_CLOSED.load(Relaxed)
}

/// Returns a handle on standard input; where that is closed, each read fails.
pub fn stdin() -> Result<File> {
    if STDIN_IS_CLOSED.load(Relaxed) {
        return File::options().write(true).open("/dev/null");
    }
    std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map(File::from)
}

/// Returns a handle on standard output; where that is closed, each write fails.
pub fn stdout() -> Result<File> {
    if is_stdout_closed() {
        return File::open("/dev/null");
    }
    std::io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .map(File::from)
}
