//! The signals on which the block leaves the terminal: a stop, the end, and a resize.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, getpgid, getpgrp, getppid, getsid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::low_level::{emulate_default_handler, pipe};

use crate::shutdown::is_ignored;

/// What the signals have asked for.
pub(super) struct Signals {
    readable: UnixStream,
    stop: Arc<AtomicBool>,
    end: Arc<AtomicBool>,
}

impl Signals {
    /// Watches the signals from now on.
    pub(super) fn watch() -> std::io::Result<Self> {
        let (readable, waker) = UnixStream::pair()?;
        readable.set_nonblocking(true)?;
        let (stop, end) = (Arc::default(), Arc::default());
        let none = Arc::default();
        let signals = [
            (SIGTSTP, &stop),
            (SIGINT, &end),
            (SIGTERM, &end),
            (SIGHUP, &end),
            (SIGWINCH, &none),
        ];
        for (signal, flag) in signals {
            if !is_ignored(signal) {
                signal_hook::flag::register(signal, Arc::clone(flag))?;
                pipe::register(signal, waker.try_clone()?)?;
            }
        }
        Ok(Self {
            readable,
            stop,
            end,
        })
    }

    /// Waits for a signal, and no longer than `duration`.
    pub(super) fn wait(&self, duration: Duration) {
        let mut readable = [PollFd::new(&self.readable, PollFlags::IN)];
        let _ = poll(&mut readable, Timespec::try_from(duration).ok().as_ref());
        let _ = std::io::Read::read(&mut &self.readable, &mut [0; 64]);
    }

    /// Returns whether the process was asked to end.
    pub(super) fn is_ending(&self) -> bool {
        self.end.load(SeqCst)
    }

    /// Returns whether the job is to stop, once for each signal.
    pub(super) fn take_stop(&self) -> bool {
        self.stop.swap(false, SeqCst)
    }
}

/// Stops this process, as SIGTSTP does where nobody catches it, until it is continued.
pub(super) fn stop() {
    if has_shell() {
        drop(emulate_default_handler(SIGTSTP));
    }
}

/// Returns whether somebody outside this job could continue it. An orphaned process group
/// does not stop.
fn has_shell() -> bool {
    let mut ancestor = getppid();
    while let Some(parent) = ancestor {
        if getsid(Some(parent)).ok() != getsid(None).ok() {
            return false;
        }
        if getpgid(Some(parent)).ok() != Some(getpgrp()) {
            return true;
        }
        ancestor = parent_of(parent);
    }
    false
}

fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    Pid::from_raw(after_name.split_whitespace().nth(1)?.parse().ok()?)
}
