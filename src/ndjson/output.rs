//! Standard output: written in bulk, flushed before any wait.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;
use signal_hook::consts::SIGPIPE;

use crate::counters::{Counters, Waiting};
use crate::disk;
use crate::error::{Error, Kind, Result};

const BLOCK: usize = 256 * 1024;
/// The size from which a separate write is cheaper than a copy.
const LARGE: usize = 64 * 1024;

/// Standard output, buffered.
pub struct Output {
    file: File,
    counters: Arc<Counters>,
    buffer: Vec<u8>,
}

impl Output {
    pub fn new(file: File, counters: Arc<Counters>) -> Self {
        let _ = rustix::pipe::fcntl_setpipe_size(&file, 1 << 20);
        let mut buffer = Vec::with_capacity(BLOCK);
        if is_torn(&file) {
            buffer.push(b'\n');
        }
        Self {
            file,
            counters,
            buffer,
        }
    }

    /// Returns whether the output is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.file.is_terminal()
    }

    /// Returns whether the output is a file on disk.
    pub fn is_file(&self) -> bool {
        self.file.metadata().is_ok_and(|data| data.is_file())
    }

    /// Returns whether the output is an empty file on disk.
    pub fn is_empty_file(&self) -> bool {
        let data = self.file.metadata();
        data.is_ok_and(|data| data.is_file() && data.len() == 0)
    }

    /// Returns another handle on the output if it is a file on disk, to sync it on another
    /// thread.
    pub fn file(&self) -> Result<Option<File>> {
        let file = self.is_file().then(|| self.file.try_clone()).transpose();
        file.map_err(Error::local("standard output"))
    }

    /// Calls `then` on another thread once the reader of a pipe has left, even if nothing is
    /// written any more.
    pub fn when_reader_leaves(&self, then: impl FnOnce(Error) + Send + 'static) {
        let Ok(file) = self.file.try_clone() else {
            return;
        };
        let watch = move || {
            let mut gone = [PollFd::new(&file, PollFlags::empty())];
            while poll(&mut gone, None) == Err(Errno::INTR) {}
            if gone[0].revents().contains(PollFlags::ERR) {
                then(reader_left());
            }
        };
        // Without a thread, the next write finds out.
        drop(std::thread::Builder::new().spawn(watch));
    }

    /// Writes bytes, at first to the buffer.
    ///
    /// # Errors
    /// The reader has left (SIGPIPE), or the output cannot be written (74).
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() >= LARGE {
            self.flush()?;
            return self.put(bytes);
        }
        if self.buffer.len() + bytes.len() > BLOCK {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes what is in the buffer.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        let done = self.put(&buffer);
        self.buffer = buffer;
        self.buffer.clear();
        done
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let write = || write_all(&mut self.file, bytes);
        let done = self.counters.wait_for(Waiting::Output, write);
        done.map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::PIPE) => reader_left(),
            Some(Errno::BADF) => Error::local(
                "standard output is closed, or not open for writing; redirect it to a file, a pipe \
                 or /dev/null",
            )(error),
            _ => Error::local("standard output")(error),
        })
    }
}

fn reader_left() -> Error {
    Error::message(
        Kind::Signal(SIGPIPE),
        "the reader of standard output has left",
    )
}

/// Does the same as `Write::write_all`, also for a pipe that another program made
/// non-blocking.
fn write_all(file: &mut File, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let mut ready = [PollFd::new(&*file, PollFlags::OUT)];
                poll(&mut ready, None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns whether the file to append to ends with half a line of a killed program, which
/// would damage our first line.
fn is_torn(file: &File) -> bool {
    let appends = fcntl_getfl(file).is_ok_and(|flags| flags.contains(OFlags::APPEND));
    if !appends || !file.metadata().is_ok_and(|data| data.is_file()) {
        return false;
    }
    // Our own handle may be write-only.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let length = file.metadata().map(|data| data.len());
    let torn = File::open(path).and_then(|file| disk::is_torn(&file, length?));
    torn.unwrap_or(false)
}
