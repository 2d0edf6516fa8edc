//! Progress on a terminal: one block per pipeline, one row per program.
//!
//! The programs share a folder (`shared_dir`) named after the terminal and the
//! process group. One at a time holds the draw lock: at each tick it reads the
//! rows of the others and draws the `block`. Each program writes its own
//! messages, in one write together with the block below, so that a kill cannot
//! lose or tear a message.

mod block;
mod row;
mod shared_dir;

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::block::Bars;
use self::row::Row;
pub use self::row::{PROGRAMS, SINKS};
use self::shared_dir::{DrawLock, SharedDir, TerminalLock};
use crate::counters::Counters;

const TICK: Duration = Duration::from_millis(200);

/// Shorter runs draw nothing.
const QUIET: Duration = Duration::from_millis(300);

/// This program's part of the block.
pub struct Terminal {
    counters: Arc<Counters>,
    slot: Mutex<Slot>,
}

impl Terminal {
    /// Joins the block of this pipeline if standard error is a terminal.
    pub fn join(counters: &Arc<Counters>) -> Option<Arc<Self>> {
        let term = std::env::var_os("TERM")?;
        if term == "dumb" || !std::io::stderr().is_terminal() {
            return None;
        }
        let slot = Slot::take(counters.program())?;
        let terminal = Arc::new(Self {
            counters: Arc::clone(counters),
            slot: Mutex::new(slot),
        });
        let weak = Arc::downgrade(&terminal);
        let ticks = std::thread::Builder::new().name("progress".to_owned());
        ticks.spawn(move || tick_on(&weak)).ok()?;
        Some(terminal)
    }

    /// Prints a message, of one line or several, above the block.
    pub fn print(&self, message: &str) {
        let message = format!("{}\n", message.trim_end_matches('\n'));
        match self.slot() {
            Some(slot) => slot.print(&message),
            None => put(&message),
        }
    }

    /// Removes the row of this program; another program takes over the drawing.
    pub fn leave(&self) {
        if let Some(mut slot) = self.slot() {
            slot.leave();
        }
    }

    /// One step of the clock; `false` once the program has left.
    fn tick(&self) -> bool {
        match self.slot() {
            Some(mut slot) if !slot.left => {
                slot.tick(&self.counters);
                true
            }
            _ => false,
        }
    }

    /// Returns `None` only after a panic while the slot was in use: its
    /// message comes through here on the same thread and must not wait.
    fn slot(&self) -> Option<MutexGuard<'_, Slot>> {
        if std::thread::panicking() {
            self.slot.try_lock_for(Duration::from_millis(500))
        } else {
            Some(self.slot.lock())
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.leave();
    }
}

fn tick_on(terminal: &Weak<Terminal>) {
    loop {
        std::thread::sleep(TICK);
        match terminal.upgrade() {
            Some(terminal) if terminal.tick() => {}
            _ => return,
        }
    }
}

/// The place of a program in the folder of its pipeline, and its draw lock.
struct Slot {
    shared: SharedDir,
    draw_lock: DrawLock,
    block: Bars,
    row: Row,
    joined: Instant,
    ticked: Instant,
    swept: bool,
    /// Whether the row is gone; messages are still drawn above the block.
    left: bool,
}

impl Slot {
    fn take(program: &'static str) -> Option<Self> {
        let row = Row::new(program);
        let (shared, draw_lock) = SharedDir::join(&row)?;
        let now = Instant::now();
        Some(Self {
            shared,
            draw_lock,
            block: Bars::new(),
            row,
            joined: now,
            ticked: now,
            swept: false,
            left: false,
        })
    }

    fn tick(&mut self, counters: &Counters) {
        self.update(counters);
        if self.joined.elapsed() < QUIET || !self.draw_lock.acquire() {
            return;
        }
        let lock = self.shared.lock();
        if block::in_front() {
            redraw(&lock, &mut self.block, &lock.rows());
        } else {
            lock.set_drawn("");
        }
        drop(lock);
        if !self.swept {
            self.swept = true;
            self.shared.sweep_others();
        }
    }

    fn update(&mut self, counters: &Counters) {
        let (records, _, waiting) = counters.snapshot();
        let (age, step) = (self.joined.elapsed(), self.ticked.elapsed());
        self.ticked += step;
        self.row.count(records, step, age);
        waiting.clone_into(&mut self.row.waiting);
        self.shared.publish(&self.row);
    }

    fn print(&self, message: &str) {
        let lock = self.shared.lock();
        let drawn = if block::in_front() {
            lock.drawn()
        } else {
            String::new()
        };
        put(&block::frame(&drawn, message, &drawn));
        if !drawn.is_empty() {
            lock.set_drawn(&drawn);
        }
    }

    fn leave(&mut self) {
        if std::mem::replace(&mut self.left, true) {
            return;
        }
        let lock = self.shared.lock();
        lock.withdraw();
        let rows = lock.rows();
        // The row goes now, whoever draws, and the block with the last row.
        if block::in_front() && !lock.drawn().is_empty() {
            redraw(&lock, &mut self.block, &rows);
        }
        if rows.is_empty() {
            lock.remove();
        }
        self.draw_lock.release();
    }
}

fn redraw(lock: &TerminalLock<'_>, block: &mut Bars, rows: &[Row]) {
    let before = lock.drawn();
    let after = if rows.iter().any(|row| row.fills_terminal) {
        String::new()
    } else {
        block.render(rows)
    };
    let frame = block::frame(&before, "", &after);
    // If killed in between, the file must have the smaller block: the next
    // frame then leaves an old row, and does not erase a message.
    if after.lines().count() < before.lines().count() {
        lock.set_drawn(&after);
        put(&frame);
    } else {
        put(&frame);
        lock.set_drawn(&after);
    }
}

/// Writes all of it to standard error, in one write if the terminal can.
fn put(text: &str) {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match std::io::stderr().write(rest) {
            Ok(0) => return,
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Any program on the terminal may have made it non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let stderr = std::io::stderr();
                let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
                let wait = Timespec::try_from(TICK).ok();
                let _ = poll(&mut fds, wait.as_ref());
            }
            // Without a terminal there is nowhere left to report to.
            Err(_) => return,
        }
    }
}
