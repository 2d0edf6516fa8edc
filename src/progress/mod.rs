//! Progress: a row per program at the bottom of a terminal, elsewhere a line now and then.
//!
//! The programs of a pipeline share a folder (`shared_dir`), and one of them shows the rows
//! of all: on rows of the terminal that the `screen` has reserved, or where that would
//! disturb somebody, as a line of the log. Messages are written as if there were no rows.

mod job_control;
mod row;
mod screen;
mod shared_dir;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use self::job_control::Signals;
use self::row::Row;
pub use self::row::{PROGRAMS, SINKS};
use self::screen::Screen;
use self::shared_dir::SharedDir;
use crate::counters::Counters;
use crate::log::Log;

const TICK: Duration = Duration::from_millis(200);

/// Shorter runs draw nothing.
const QUIET: Duration = Duration::from_millis(300);

/// The first plain line, and the time between the others.
const PLAIN: (u64, u64) = (60, 30);

/// Off a terminal, shorter runs leave no trace on the disk.
const UNTRACED: Duration = Duration::from_secs(10);

/// How a program takes part.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The seconds between plain lines.
    pub interval: Option<u64>,
    /// Whether other programs before it may drop records.
    pub allow_drops: bool,
}

/// This program's part of the progress.
pub struct Progress(Arc<Mutex<Member>>);

impl Progress {
    /// Shows the progress of this pipeline from now on.
    #[must_use]
    pub fn start(counters: &Arc<Counters>, log: &Log, options: Options) -> Self {
        let mut member = Member::new(counters, log, options);
        if member.on_terminal {
            member.join();
        }
        let signals = member.on_terminal.then(Signals::watch).and_then(Result::ok);
        let member = Arc::new(Mutex::new(member));
        let shown = Arc::clone(&member);
        let ticks = std::thread::Builder::new().name("progress".to_owned());
        // Without a thread the run is the same, only silent.
        drop(ticks.spawn(move || show(&shown, signals.as_ref())));
        Self(member)
    }
}

/// Removes the row of this program; another program shows the rest.
impl Drop for Progress {
    fn drop(&mut self) {
        self.0.lock().leave();
    }
}

fn show(member: &Mutex<Member>, signals: Option<&Signals>) {
    loop {
        match signals {
            Some(signals) => signals.wait(TICK),
            None => std::thread::sleep(TICK),
        }
        let mut member = member.lock();
        if member.left {
            return;
        }
        if signals.is_some_and(Signals::is_ending) {
            member.release();
            return;
        }
        if signals.is_some_and(Signals::take_stop) {
            member.release();
            drop(member);
            job_control::stop();
            continue;
        }
        member.tick();
    }
}

struct Member {
    counters: Arc<Counters>,
    log: Log,
    row: Row,
    on_terminal: bool,
    joined: Option<(SharedDir, Screen)>,
    started: Instant,
    ticked: Instant,
    /// How many plain lines have been due.
    due: u64,
    swept: bool,
    left: bool,
}

impl Member {
    fn new(counters: &Arc<Counters>, log: &Log, options: Options) -> Self {
        let now = Instant::now();
        let Options {
            interval,
            allow_drops,
        } = options;
        Self {
            counters: Arc::clone(counters),
            log: log.clone(),
            row: Row::new(counters.program(), allow_drops, interval),
            on_terminal: screen::is_terminal(),
            joined: None,
            started: now,
            ticked: now,
            due: 0,
            swept: false,
            left: false,
        }
    }

    fn join(&mut self) {
        self.joined = SharedDir::join(&self.row);
        if let Some((_, screen)) = self.joined.as_mut().filter(|_| self.on_terminal) {
            screen.free_abandoned();
        }
    }

    fn update(&mut self) {
        let (age, step) = (self.started.elapsed(), self.ticked.elapsed());
        self.ticked += step;
        self.row.update(&self.counters, step, age);
        if let Some((shared, _)) = &self.joined {
            shared.publish(&self.row);
        }
    }

    fn tick(&mut self) {
        self.update();
        let age = self.started.elapsed();
        let interval = self.row.interval.map(Duration::from_secs);
        if self.joined.is_none() && age >= UNTRACED.min(interval.unwrap_or(UNTRACED) / 2) {
            self.join();
        }
        if age < QUIET {
            return;
        }
        let mut rows = vec![self.row.clone()];
        if let Some((shared, screen)) = &mut self.joined {
            if !shared.speaks() {
                // The program that speaks has logged the lines that were due until now.
                self.due = lines_due(age.as_secs(), self.row.interval);
                return;
            }
            rows = shared.rows();
            if !std::mem::replace(&mut self.swept, true) {
                shared.sweep_others();
            }
            if rows.iter().any(|row| row.fills_terminal) {
                screen.release();
                return;
            }
            if self.on_terminal && screen.show(&row::block(&rows)) {
                return;
            }
        }
        let interval = rows.iter().filter_map(|row| row.interval).min();
        let due = lines_due(age.as_secs(), interval);
        if std::mem::replace(&mut self.due, due) < due {
            self.log.info(row::line(&rows));
        }
    }

    fn release(&mut self) {
        if let Some((_, screen)) = &mut self.joined {
            screen.release();
        }
    }

    fn leave(&mut self) {
        self.left = true;
        self.update();
        if let Some((mut shared, mut screen)) = self.joined.take() {
            shared.leave(self.row.clone(), &mut screen);
        }
    }
}

/// Returns how many plain lines a run of `age` seconds has shown.
fn lines_due(age: u64, interval: Option<u64>) -> u64 {
    let (first, every) = interval.map_or(PLAIN, |every| (every.max(1), every.max(1)));
    match age.checked_sub(first) {
        None => 0,
        Some(more) => 1 + more / every,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_after_a_minute_and_then_twice_a_minute() {
        let due = |age| lines_due(age, None);
        assert_eq!([0, 59, 60, 89, 90, 120].map(due), [0, 0, 1, 1, 2, 3]);
        let due = |age| lines_due(age, Some(10));
        assert_eq!([9, 10, 19, 20].map(due), [0, 1, 1, 2]);
    }
}
