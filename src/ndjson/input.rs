//! Reads standard input, or another file, in blocks of complete lines.

use std::fmt::Display;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;

use memchr::{memchr_iter, memrchr};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, Stat, fstat, major, minor};
use rustix::io::Errno;
use serde::de::IgnoredAny;

use super::line::{Framing, Line, RecordLine};
use crate::context::Context;
use crate::counters::{Counters, Waiting};
use crate::error::{Error, Result};
use crate::file_format::{self, FileFormat};
use crate::limits::LINE;
use crate::shutdown::Shutdown;

/// Bytes per read.
const BLOCK: usize = 256 * 1024;
/// Copies by the kernel are fastest between starts of pages.
const PAGE: usize = 4096;

/// Reads what is available, and never waits for more than one line.
pub struct Input {
    file: File,
    place: String,
    /// Whether another program writes it, which may die in the middle of a line.
    streamed: bool,
    counts: bool,
    shutdown: Arc<Shutdown>,
    counters: Arc<Counters>,
    buffer: Vec<u8>,
    /// The part of `buffer` that was not returned yet.
    left: Range<usize>,
    lines: u64,
    ended: bool,
    given: Block,
    framing: Framing,
}

/// Complete lines, each with its newline.
#[derive(Default)]
pub struct Block {
    buffer: Vec<u8>,
    range: Range<usize>,
    pub first_line: u64,
    pub lines: u64,
    /// How many of the lines are records.
    pub records: u64,
    /// The last line came without its newline.
    pub unterminated: bool,
    pub framing: Framing,
}

impl Block {
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }

    /// Iterates over the records and marks.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let (bytes, mut start) = (self.bytes(), 0);
        memchr_iter(b'\n', bytes)
            .map(move |end| {
                let line = &bytes[start..end];
                start = end + 1;
                line
            })
            .zip(self.first_line..)
            .filter_map(move |(line, number)| self.framing.parse(number, line))
    }

    /// Parses all records.
    ///
    /// # Errors
    /// The first line that `parse` rejects, and why.
    pub fn parse<T>(&self, parse: impl Fn(&[u8]) -> Result<T, String>) -> Result<Vec<T>, String> {
        let parsed = self.lines().filter_map(|line| match line {
            Line::Record(RecordLine { number, bytes }) => {
                Some(parse(bytes).map_err(|why| format!("line {number}: {why}")))
            }
            Line::Mark(..) => None,
        });
        parsed.collect()
    }

    /// Returns the range of `line` with its newline; `None` if it is not part of the block,
    /// or not followed by a newline.
    pub fn place(&self, line: &[u8]) -> Option<Range<usize>> {
        let bytes = self.bytes();
        let start = line.as_ptr().addr();
        let start = start.checked_sub(bytes.as_ptr().addr())?;
        let end = start.checked_add(line.len())?;
        (bytes.get(end) == Some(&b'\n')).then_some(start..end + 1)
    }
}

impl Input {
    /// Reads standard input. If `counts`, its records are counted as read.
    pub fn new(file: File, counts: bool, context: &Context) -> Self {
        Self {
            streamed: true,
            counts,
            ..Self::named("standard input", file, context)
        }
    }

    /// Reads a file that messages call `place`.
    pub fn named(place: impl Display, file: File, context: &Context) -> Self {
        // A larger pipe needs fewer switches between two programs. If the limit per user is
        // reached, it keeps its size.
        let _ = rustix::pipe::fcntl_setpipe_size(&file, 1 << 20);
        Self {
            file,
            place: place.to_string(),
            streamed: false,
            counts: false,
            shutdown: Arc::clone(&context.shutdown),
            counters: Arc::clone(&context.counters),
            buffer: Vec::new(),
            left: 0..0,
            lines: 0,
            ended: false,
            given: Block::default(),
            framing: Framing::default(),
        }
    }

    /// Sets what the lines hold, before the first is read.
    pub fn set_framing(&mut self, framing: Framing) {
        self.framing = framing;
    }

    /// Returns the next lines, `None` at the end; waits only if there is no complete line
    /// yet.
    ///
    /// # Errors
    /// A signal, an unreadable input (74), a line of more than 256 MiB (78), or half a line
    /// at the end, because its program has died (75).
    pub fn next(&mut self) -> Result<Option<&Block>> {
        let spare = std::mem::take(&mut self.given);
        Ok(match self.take(spare)? {
            Some(block) => {
                self.given = block;
                Some(&self.given)
            }
            None => None,
        })
    }

    /// Does the same as [`next`](Self::next), but returns the block by value. The buffer of
    /// `spare` is reused.
    pub fn take(&mut self, spare: Block) -> Result<Option<Block>> {
        let mut searched = self.left.start;
        let mut unterminated = false;
        let end = loop {
            // The first records say that this is the wrong input.
            if self.shutdown.is_input_over() {
                self.left = 0..0;
                return Ok(None);
            }
            if let Some(newline) = memrchr(b'\n', &self.buffer[searched..self.left.end]) {
                break searched + newline + 1;
            }
            if self.ended {
                if self.left.is_empty() {
                    return Ok(None);
                }
                if self.streamed && is_torn(&self.buffer[self.left.clone()]) {
                    self.left = 0..0;
                    return Err(Error::ended_early(format!(
                        "input ended early: in the middle of line {}; run the command that writes \
                         it again",
                        self.lines + 1
                    )));
                }
                self.buffer.truncate(self.left.end);
                self.buffer.push(b'\n');
                self.left.end += 1;
                unterminated = true;
                break self.left.end;
            }
            searched = self.left.end;
            self.fill()?;
        };
        let range = self.left.start..end;
        let (lines, records) = self.count(&self.buffer[range.clone()]);
        if self.counts {
            self.counters.add_read(records);
        }
        let first_line = self.lines + 1;
        self.lines += lines;
        Ok(Some(Block {
            first_line,
            lines,
            records,
            unterminated,
            framing: self.framing,
            buffer: self.continue_in(spare.buffer, end),
            range,
        }))
    }

    /// Counts the lines of `bytes`, and those of them that are records: the
    /// one place where records are counted as read.
    fn count(&self, bytes: &[u8]) -> (u64, u64) {
        let (mut start, mut lines, mut records) = (0, 0, 0);
        for end in memchr_iter(b'\n', bytes) {
            lines += 1;
            records += u64::from(self.framing.is_record(&bytes[start..end]));
            start = end + 1;
        }
        (lines, records)
    }

    /// Moves the rest after `end` into another buffer, so that the next read starts at a
    /// page; returns the buffer so far.
    fn continue_in(&mut self, mut buffer: Vec<u8>, end: usize) -> Vec<u8> {
        let rest = &self.buffer[end..self.left.end];
        let page = rest.len().next_multiple_of(PAGE);
        // A buffer that has grown for a long line is dropped.
        if buffer.len() > 2 * BLOCK {
            buffer = Vec::new();
        }
        let room = page + BLOCK;
        if buffer.len() < room {
            buffer.resize(room, 0);
        }
        let start = page - rest.len();
        buffer[start..page].copy_from_slice(rest);
        self.left = start..page;
        std::mem::replace(&mut self.buffer, buffer)
    }

    fn fill(&mut self) -> Result<()> {
        if self.left.len() > LINE {
            return Err(Error::configuration(format!(
                "{}, line {}: longer than {} MiB: is this newline-delimited JSON?",
                self.place,
                self.lines + 1,
                LINE >> 20
            )));
        }
        if self.left.end == self.buffer.len() {
            let room = (2 * self.buffer.len()).max(BLOCK);
            self.buffer.resize(room, 0);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let read = self.read(&mut buffer[self.left.end..]);
        self.buffer = buffer;
        let read = read?;
        self.left.end += read;
        self.ended = read == 0;
        let head = &self.buffer[self.left.clone()];
        if let Some(found) = file_format::unreadable(head).filter(|_| self.lines == 0) {
            let place = &self.place;
            return Err(Error::configuration(match found {
                FileFormat::Compressed(program, tool) => {
                    format!("{place}: compressed with {program}; decompress it with {tool} first")
                }
                _ => format!(
                    "{place}: expected a JSON object per line, found {found}; convert it first"
                ),
            }));
        }
        Ok(())
    }

    /// Returns whether lines were expected, and none came.
    pub fn is_missing(&self) -> bool {
        self.counts && self.lines == 0 && !self.is_null()
    }

    /// Returns whether it is /dev/null, where nothing is to be expected.
    pub fn is_null(&self) -> bool {
        const NULL: (u32, u32) = (1, 3);
        fstat(&self.file).is_ok_and(|data: Stat| {
            FileType::from_raw_mode(data.st_mode).is_char_device()
                && (major(data.st_rdev), minor(data.st_rdev)) == NULL
        })
    }

    pub fn is_terminal(&self) -> bool {
        self.file.is_terminal()
    }

    /// Reads bytes of an input that is not lines; returns their number, 0 at the end.
    ///
    /// # Errors
    /// A signal, or an unreadable input.
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        let place = &self.place;
        let failed = |error| match Errno::from_io_error(&error) {
            Some(Errno::BADF) => Error::local(format!(
                "{place} is closed, or not open for reading; redirect it from a file, a pipe or \
                 /dev/null"
            ))(error),
            _ => Error::local(place)(error),
        };
        self.counters.waits(Waiting::Input);
        let read = loop {
            let (signal, input) = (self.shutdown.readable(), self.file.as_fd());
            let end = self.shutdown.input_end();
            let mut ready = [
                PollFd::new(&signal, PollFlags::IN),
                PollFd::new(&end, PollFlags::IN),
                PollFd::new(&input, PollFlags::IN),
            ];
            match poll(&mut ready, None) {
                Err(Errno::INTR) => continue,
                Err(error) => return Err(failed(error.into())),
                Ok(_) => self.shutdown.check()?,
            }
            if self.shutdown.is_input_over() {
                return Ok(0);
            }
            match self.file.read(into) {
                Ok(read) => break read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(failed(error)),
            }
        };
        self.counters.waits(Waiting::Nothing);
        Ok(read)
    }
}

/// Returns whether a last line without a newline is cut in the middle of its JSON.
fn is_torn(line: &[u8]) -> bool {
    !line.iter().all(u8::is_ascii_whitespace)
        && serde_json::from_slice::<IgnoredAny>(line).is_err_and(|error| error.is_eof())
}
