//! SIGINT, SIGTERM and SIGHUP: they cancel the run, and end the process if that takes long.
//!
//! Every wait of a program ends early on a signal: the reader polls
//! [`Shutdown::readable`] beside its input, blocking code waits by [`Shutdown::sleep`],
//! and asynchronous code selects [`Shutdown::cancelled`]. All return the same error,
//! whose kind is the signal.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use tokio::sync::Notify;

use crate::error::{Error, Kind, Result};

/// How long a stage may take to finish its work in flight. All state on
/// disk is whole at any moment, so cutting it short loses nothing.
const GRACE: Duration = Duration::from_secs(5);

/// A signal may arrive twice: timeout(1) sends it to its child, and then to the group of
/// both. A second one after this long ends the process at once.
const ONCE: Duration = Duration::from_secs(1);

/// Whether, and by which signal, the run was asked to stop.
#[derive(Debug)]
pub struct Shutdown {
    signal: AtomicI32,
    notify: Notify,
    readable: UnixStream,
    waker: UnixStream,
    /// Readable once no more input is wanted.
    input_end: OwnedFd,
    is_input_over: AtomicBool,
    input_over: Notify,
}

/// No signal has this number: the stage has failed, and its reader has to stop.
const CANCELLED: i32 = -1;

impl Shutdown {
    /// Watches the signals from now on. If `term_ends_input`, the first SIGTERM ends the input
    /// instead of the run.
    pub fn watch(term_ends_input: bool) -> std::io::Result<Arc<Self>> {
        let (readable, waker) = UnixStream::pair()?;
        let shutdown = Arc::new(Self {
            signal: AtomicI32::new(0),
            notify: Notify::new(),
            readable,
            waker,
            input_end: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            is_input_over: AtomicBool::new(false),
            input_over: Notify::new(),
        });
        // A signal that is ignored from the start, as under nohup, stays ignored.
        let heeded = [SIGINT, SIGTERM, SIGHUP]
            .into_iter()
            .filter(|signal| !is_ignored(*signal));
        let mut signals = Signals::new(heeded)?;
        let watched = Arc::clone(&shutdown);
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                let mut first = None::<Instant>;
                for signal in signals.forever() {
                    match first {
                        Some(first) if first.elapsed() < ONCE => continue,
                        Some(_) => die_by(signal),
                        None => first = Some(Instant::now()),
                    }
                    if term_ends_input && signal == SIGTERM {
                        watched.end_input();
                        continue;
                    }
                    watched.signal.store(signal, SeqCst);
                    watched.wake();
                    std::thread::spawn(move || {
                        std::thread::sleep(GRACE);
                        die_by(signal);
                    });
                }
            })?;
        Ok(shutdown)
    }

    /// Ends every wait for input, because another part of the stage has failed.
    pub fn cancel_reader(&self) {
        // A signal that came first stays the reason.
        let _ = self.signal.compare_exchange(0, CANCELLED, SeqCst, SeqCst);
        self.wake();
    }

    /// Ends the input here, as if no more had come: what was read is finished.
    pub fn end_input(&self) {
        if !self.is_input_over.swap(true, SeqCst) {
            // A new counter always has room.
            let _ = rustix::io::write(&self.input_end, &1_u64.to_ne_bytes());
            self.input_over.notify_waiters();
        }
    }

    /// Waits until no more input is wanted.
    pub async fn until_input_over(&self) {
        let notified = self.input_over.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        if !self.is_input_over() {
            notified.await;
        }
    }

    pub fn is_input_over(&self) -> bool {
        self.is_input_over.load(SeqCst)
    }

    /// Returns a file that becomes readable by [`end_input`](Self::end_input), for poll.
    pub fn input_end(&self) -> BorrowedFd<'_> {
        self.input_end.as_fd()
    }

    fn wake(&self) {
        // If the socket is full, it is readable already.
        drop((&self.waker).write(b"!"));
        self.notify.notify_waiters();
    }

    /// Returns the reason to stop as an error, if there is one.
    pub fn check(&self) -> Result<()> {
        match self.signal.load(SeqCst) {
            0 => Ok(()),
            CANCELLED => Err(Error::internal("given up")),
            signal => Err(Error::message(
                Kind::Signal(signal),
                format!("stopped by {}", name(signal)),
            )),
        }
    }

    /// Returns a file that becomes readable on a signal, for poll.
    pub fn readable(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }

    /// Sleeps on this thread for `duration`.
    ///
    /// # Errors
    /// A signal, which ends the wait.
    pub fn sleep(&self, duration: Duration) -> Result<()> {
        let until = Instant::now() + duration;
        loop {
            self.check()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let mut waker = [PollFd::new(&self.readable, PollFlags::IN)];
            match poll(&mut waker, Timespec::try_from(left).ok().as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Error::local("signals")(error.into())),
            }
        }
    }

    /// Waits for a signal, and returns it as an error.
    pub async fn cancelled(&self) -> Error {
        let notified = self.notify.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        if let Err(stop) = self.check() {
            return stop;
        }
        notified.await;
        self.check()
            .err()
            .unwrap_or_else(|| Error::internal("woken without a signal"))
    }
}

/// Returns whether this process ignores `signal` from its start; not where the system does
/// not say.
pub fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

fn name(signal: i32) -> String {
    let known = signal_hook::low_level::signal_name(signal);
    known.map_or_else(|| format!("signal {signal}"), str::to_owned)
}

/// Ends this process as if it had never caught `signal`.
pub fn die_by(signal: i32) {
    // Falls through only if the signal's default is not to end the process.
    drop(emulate_default_handler(signal));
}
