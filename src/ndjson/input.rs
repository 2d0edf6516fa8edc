//! Standard input as blocks of whole lines.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::sync::Arc;

use memchr::{memchr_iter, memrchr};
use rustix::event::{PollFd, PollFlags, poll};

use crate::cli::signals::Stop;
use crate::error::{Error, Kind, Result};
use crate::tally::{Tally, Waiting};

const BLOCK: usize = 256 * 1024;
const LONGEST_LINE: usize = 256 * 1024 * 1024;

/// Reads as much as there is, never waiting for more than one line.
pub struct Input {
    file: File,
    stop: Arc<Stop>,
    tally: Arc<Tally>,
    buffer: Vec<u8>,
    /// Bytes of `buffer` given out by the last call.
    given: usize,
    /// Bytes of `buffer` that hold input.
    filled: usize,
    lines: u64,
    ended: bool,
}

/// Whole lines, each ended by a newline, and the number of the first.
#[derive(Clone, Copy)]
pub struct Block<'a> {
    pub bytes: &'a [u8],
    pub first_line: u64,
    /// The last line came without its newline.
    pub unterminated: bool,
}

impl<'a> Block<'a> {
    /// The lines that hold something, with their numbers and without their
    /// line ends.
    pub fn lines(self) -> impl Iterator<Item = (u64, &'a [u8])> {
        let mut start = 0;
        memchr_iter(b'\n', self.bytes)
            .map(move |end| {
                let line = &self.bytes[start..end];
                start = end + 1;
                line.strip_suffix(b"\r").unwrap_or(line)
            })
            .zip(self.first_line..)
            .map(|(line, number)| (number, line))
            .filter(|(_, line)| !line.iter().all(u8::is_ascii_whitespace))
    }
}

impl Input {
    #[must_use]
    pub fn new(file: File, stop: Arc<Stop>, tally: Arc<Tally>) -> Self {
        // A larger pipe costs fewer switches between two programs; where the
        // limit for users is reached, the usual size has to do.
        let _ = rustix::pipe::fcntl_setpipe_size(&file, 1 << 20);
        Self {
            file,
            stop,
            tally,
            buffer: vec![0; BLOCK],
            given: 0,
            filled: 0,
            lines: 0,
            ended: false,
        }
    }

    /// The next lines, or `None` at the end; waits only when there is no
    /// whole line yet.
    ///
    /// # Errors
    /// A signal, an unreadable input, or a line of more than 256 MiB.
    pub fn next(&mut self) -> Result<Option<Block<'_>>> {
        self.buffer.copy_within(self.given..self.filled, 0);
        self.filled -= self.given;
        self.given = 0;
        let mut searched = 0;
        let mut unterminated = false;
        loop {
            if let Some(newline) = memrchr(b'\n', &self.buffer[searched..self.filled]) {
                self.given = searched + newline + 1;
                break;
            }
            if self.ended {
                if self.filled == 0 {
                    return Ok(None);
                }
                self.reserve()?;
                self.buffer[self.filled] = b'\n';
                self.filled += 1;
                self.given = self.filled;
                unterminated = true;
                break;
            }
            searched = self.filled;
            self.fill()?;
        }
        let bytes = &self.buffer[..self.given];
        let first_line = self.lines + 1;
        self.lines += memchr_iter(b'\n', bytes).count() as u64;
        Ok(Some(Block {
            bytes,
            first_line,
            unterminated,
        }))
    }

    fn reserve(&mut self) -> Result<()> {
        if self.filled < self.buffer.len() {
            return Ok(());
        }
        if self.filled >= LONGEST_LINE {
            return Err(Error::configuration(format!(
                "line {} is longer than 256 MiB: is the input newline-delimited JSON?",
                self.lines + 1
            )));
        }
        self.buffer.resize(self.buffer.len() * 2, 0);
        Ok(())
    }

    fn fill(&mut self) -> Result<()> {
        self.reserve()?;
        let failed = |error: &std::io::Error| match error.raw_os_error() {
            Some(_) => Error::local("standard input", error),
            None => Error::message(Kind::LocalIo, format!("standard input: {error}")),
        };
        self.tally.waits(Waiting::Input);
        let read = loop {
            let (signal, input) = (self.stop.readable(), self.file.as_fd());
            let mut ready = [
                PollFd::new(&signal, PollFlags::IN),
                PollFd::new(&input, PollFlags::IN),
            ];
            match poll(&mut ready, None) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(failed(&error.into())),
                Ok(_) => self.stop.check()?,
            }
            match self.file.read(&mut self.buffer[self.filled..]) {
                Ok(read) => break read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(failed(&error)),
            }
        };
        self.tally.waits(Waiting::Nothing);
        self.filled += read;
        self.ended = read == 0;
        Ok(())
    }
}
