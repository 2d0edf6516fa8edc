//! The rows at the bottom of the terminal that the block has for itself.
//!
//! A scroll region keeps the lines of everybody else above them, as apt does. Each frame
//! first makes room below the cursor, by scrolling if need be, so that it never draws over a
//! line, whatever another program did to the region.

use std::fs::File;
use std::io::IsTerminal;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use rustix::process::getpgrp;
use rustix::stdio::stderr;
use rustix::termios::{LocalModes, tcgetattr, tcgetpgrp, tcgetwinsize};

use crate::log;

/// After a resize the rows of the terminal may still move.
const SETTLED: Duration = Duration::from_millis(600);

/// Rows that stay for everybody else.
const MIN_FREE: usize = 4;

/// Returns whether rows can be reserved on standard error at all.
pub(super) fn is_terminal() -> bool {
    let term = std::env::var_os("TERM").unwrap_or_default();
    term != "dumb" && !term.is_empty() && std::io::stderr().is_terminal()
}

/// The place of the block; one process per terminal holds the lock on `state`.
pub(super) struct Screen {
    /// Empty unless rows are reserved: so the next program knows after a kill.
    state: File,
    locked: bool,
    /// The number of reserved rows.
    reserved: usize,
    size: Option<(usize, usize)>,
    resized: Option<Instant>,
    drawn: Vec<String>,
}

impl Screen {
    pub(super) fn new(state: File) -> Self {
        Self {
            state,
            locked: false,
            reserved: 0,
            size: None,
            resized: None,
            drawn: Vec::new(),
        }
    }

    /// Shows `lines` at the bottom; `false` if that would disturb somebody.
    pub(super) fn show(&mut self, lines: &[String]) -> bool {
        if !(in_front() && is_cooked()) {
            self.release();
            return false;
        }
        if !self.take() {
            return false;
        }
        let size = window();
        if self.size.replace(size).is_some_and(|before| before != size) {
            self.clear();
            self.resized = Some(Instant::now());
        }
        if self.resized.is_some_and(|at| at.elapsed() < SETTLED) {
            return true;
        }
        let (width, height) = size;
        if height < lines.len() + MIN_FREE {
            self.release();
            return false;
        }
        let cut = |line: &String| {
            let line = log::printable(line);
            line.chars().take(width.saturating_sub(1)).collect()
        };
        let rows: Vec<String> = lines.iter().map(cut).collect();
        if rows != self.drawn {
            if !self.is_reserved() {
                drop(self.state.write_all_at(b"reserved\n", 0));
            }
            log::write(&frame(height, &rows, self.reserved != rows.len()));
            self.reserved = rows.len();
            self.drawn = rows;
        }
        true
    }

    /// Gives the rows back, and the right to draw.
    pub(super) fn release(&mut self) {
        if self.locked {
            self.clear();
            self.leave_to_others();
        }
    }

    /// Gives up the right to draw, and leaves the rows to the next process.
    pub(super) fn leave_to_others(&mut self) {
        let _ = self.state.unlock();
        self.locked = false;
        self.size = None;
    }

    /// Gives back the rows that a killed process has left, if nobody draws.
    pub(super) fn free_abandoned(&mut self) {
        if in_front() && self.take() {
            self.release();
        }
    }

    fn take(&mut self) -> bool {
        self.locked = self.locked || self.state.try_lock().is_ok();
        self.locked
    }

    fn clear(&mut self) {
        if self.is_reserved() {
            // The screen of a pager is not ours to clear.
            log::write(if is_cooked() { CLEAR } else { UNRESERVE });
            drop(self.state.set_len(0));
        }
        self.reserved = 0;
        self.drawn.clear();
    }

    fn is_reserved(&self) -> bool {
        self.state.metadata().is_ok_and(|state| state.len() > 0)
    }
}

/// Lets the whole screen scroll; the cursor stays.
const UNRESERVE: &str = "\x1b7\x1b[r\x1b8";

/// The same, and erases what is below the line of the cursor, where only the block is. The
/// step down and up makes sure that there is a row.
const CLEAR: &str = "\x1b7\x1b[r\x1b8\x0b\x1bM\x1b7\x1b[m\x1b[B\r\x1b[J\x1b8";

/// Returns the bytes that reserve the last rows of a terminal of `height`, draw `rows` there,
/// and bring the cursor back. `anew` erases the rows of another block.
fn frame(height: usize, rows: &[String], anew: bool) -> String {
    let top = height.saturating_sub(rows.len());
    // A line feed starts a line of its own; a vertical tab keeps the column.
    let down = "\x0b".repeat(rows.len());
    let up = "\x1bM".repeat(rows.len());
    let erase = if anew { "\x1b[B\r\x1b[J" } else { "" };
    let rows = rows.iter().zip(top + 1..);
    let rows: Vec<_> = rows
        .map(|(text, row)| format!("\x1b[{row};1H{text}\x1b[K"))
        .collect();
    let rows = rows.concat();
    format!("{UNRESERVE}{down}{up}\x1b7\x1b[m{erase}\x1b[1;{top}r\x1b[?7l{rows}\x1b[?7h\x1b8")
}

/// Returns whether this job is in the foreground; otherwise the terminal is the shell's.
fn in_front() -> bool {
    tcgetpgrp(stderr()).is_ok_and(|front| front == getpgrp())
}

/// Returns whether the terminal reads lines; a pager or an editor reads keys.
fn is_cooked() -> bool {
    tcgetattr(stderr()).is_ok_and(|mode| mode.local_modes.contains(LocalModes::ICANON))
}

/// Returns the number of columns and rows.
fn window() -> (usize, usize) {
    match tcgetwinsize(stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_makes_room_before_it_draws() {
        assert_eq!(
            frame(24, &["a".into(), "b".into()], true),
            "\x1b7\x1b[r\x1b8\x0b\x0b\x1bM\x1bM\x1b7\x1b[m\x1b[B\r\x1b[J\x1b[1;22r\x1b[?7l\
             \x1b[23;1Ha\x1b[K\x1b[24;1Hb\x1b[K\x1b[?7h\x1b8",
        );
    }
}
