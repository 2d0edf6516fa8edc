//! The counts of a run, which have to add up: `in + made = out + dropped + rejected`.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

/// What a stage is waiting for.
#[derive(Debug, Clone, Copy)]
pub enum Waiting {
    Nothing,
    Input,
    Output,
    Server,
}

/// Each of [`Waiting`] in the progress row.
const WAITING: [&str; 4] = [
    "",
    "waits for input",
    "waits for output",
    "waits for the server",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Dropped,
    Rejected,
    /// Records that were written here and refused by a later server; not part of the sum.
    RefusedLater,
    Note,
}

/// Live counts, shown in the progress row and in the summary.
#[derive(Debug)]
pub struct Counters {
    program: &'static str,
    out_name: &'static str,
    started: Instant,
    read: AtomicU64,
    made: AtomicU64,
    written: AtomicU64,
    /// How many records a source will read, by its last run; 0 where that is not known.
    expected: AtomicU64,
    waiting: AtomicU8,
    named: Mutex<Vec<(Class, String, u64)>>,
    /// What became of the runs that were stored: for programs.
    runs: Mutex<Vec<Value>>,
}

impl Counters {
    /// `out_name` is the word for records that came through: "out", "inserted".
    pub fn new(program: &'static str, out_name: &'static str) -> Self {
        Self {
            program,
            out_name,
            started: Instant::now(),
            read: AtomicU64::new(0),
            made: AtomicU64::new(0),
            written: AtomicU64::new(0),
            expected: AtomicU64::new(0),
            waiting: AtomicU8::new(0),
            named: Mutex::default(),
            runs: Mutex::default(),
        }
    }

    pub fn program(&self) -> &'static str {
        self.program
    }

    /// Counts records that came in.
    pub fn add_read(&self, records: u64) {
        self.read.fetch_add(records, Relaxed);
    }

    /// Counts records beyond the first that one line gave.
    pub fn add_made(&self, records: u64) {
        self.made.fetch_add(records, Relaxed);
    }

    /// Counts records that were written or stored.
    pub fn add_written(&self, records: u64) {
        self.written.fetch_add(records, Relaxed);
    }

    /// Sets how many records are likely to be read.
    pub fn expect(&self, records: u64) {
        self.expected.store(records, Relaxed);
    }

    /// Returns how many records are likely to be read, where that is known.
    pub fn expected(&self) -> Option<u64> {
        Some(self.expected.load(Relaxed)).filter(|records| *records > 0)
    }

    /// Counts records that were left out on purpose.
    pub fn add_dropped(&self, reason: &str, records: u64) {
        self.add(Class::Dropped, reason, records);
    }

    /// Counts records that were rejected, by the kind of the reject.
    pub fn add_rejected(&self, kind: &str, records: u64) {
        self.add(Class::Rejected, kind, records);
    }

    /// Counts records that were written here, and refused by a later server.
    pub fn add_refused_later(&self, kind: &str, records: u64) {
        self.add(Class::RefusedLater, kind, records);
    }

    /// Adds to a count that is not part of the sum: pages, retries, marks.
    pub fn note(&self, name: &str, count: u64) {
        self.add(Class::Note, name, count);
    }

    /// Sets what the summary says of each run that was stored.
    pub fn set_runs(&self, runs: Vec<Value>) {
        *self.runs.lock() = runs;
    }

    /// Calls `wait`, and shows meanwhile what it waits for.
    pub fn wait_for<T>(&self, what: Waiting, wait: impl FnOnce() -> T) -> T {
        self.waits(what);
        let came = wait();
        self.waits(Waiting::Nothing);
        came
    }

    /// Sets what the progress row shows as being waited for.
    pub fn waits(&self, what: Waiting) {
        self.waiting.store(what as u8, Relaxed);
    }

    /// Returns the records read, the records written, and what is waited for.
    pub fn snapshot(&self) -> (u64, u64, &'static str) {
        let waiting = usize::from(self.waiting.load(Relaxed));
        let (read, written) = (self.read.load(Relaxed), self.written.load(Relaxed));
        (read, written, WAITING[waiting])
    }

    /// Returns how many records were rejected, here or by a later server.
    pub fn rejections(&self) -> u64 {
        self.sum(Class::Rejected) + self.sum(Class::RefusedLater)
    }

    /// Returns whether every record that came in is accounted for:
    /// `in + made = out + dropped + rejected`.
    pub fn adds_up(&self) -> bool {
        let (entered, finished) = self.sides();
        entered == finished
    }

    /// Returns both sides of the equation.
    fn sides(&self) -> (u64, u64) {
        let (read, written, _) = self.snapshot();
        let entered = read + self.made.load(Relaxed);
        let finished = written + self.sum(Class::Dropped) + self.sum(Class::Rejected);
        (entered, finished)
    }

    /// Returns the summary as one line of text.
    pub fn line(&self) -> String {
        let (read, written, _) = self.snapshot();
        let mut parts = vec![format!("{written} {}", self.out_name)];
        let mut notes = Vec::new();
        for (class, name, count) in self.named.lock().iter() {
            match class {
                Class::Dropped => parts.push(format!("{count} {name}")),
                Class::Rejected => parts.push(format!("{count} rejected ({name})")),
                Class::RefusedLater | Class::Note if *count > 0 => {
                    notes.push(format!("{count} {name}"));
                }
                Class::RefusedLater | Class::Note => {}
            }
        }
        let (entered, finished) = self.sides();
        if entered > finished {
            notes.insert(0, format!("{} in flight", entered - finished));
        }
        notes.push(format!("{:.1} s", self.started.elapsed().as_secs_f64()));
        let made = match self.made.load(Relaxed) {
            0 => String::new(),
            made => format!(" + {made} made"),
        };
        format!(
            "{read} in{made} = {}; {}",
            parts.join(" + "),
            notes.join("; ")
        )
    }

    /// Returns the summary as JSON.
    pub fn json(&self) -> Value {
        let (read, written, _) = self.snapshot();
        let (entered, finished) = self.sides();
        let of = |wanted: Class| {
            let named = self.named.lock();
            let pairs = named.iter().filter(|(class, ..)| *class == wanted);
            let map: Map<String, Value> = pairs
                .map(|(_, name, count)| (name.clone(), json!(count)))
                .collect();
            Value::Object(map)
        };
        json!({
            "program": self.program,
            "in": read,
            "made": self.made.load(Relaxed),
            "out": written,
            "dropped": of(Class::Dropped),
            "rejected": of(Class::Rejected),
            "refused_later": of(Class::RefusedLater),
            "notes": of(Class::Note),
            "runs": *self.runs.lock(),
            "in_flight": entered.saturating_sub(finished),
            "adds_up": entered == finished,
            "seconds": (self.started.elapsed().as_secs_f64() * 1e3).round() / 1e3,
        })
    }

    fn add(&self, class: Class, name: &str, count: u64) {
        let mut named = self.named.lock();
        let slot = named.iter_mut().find(|(c, n, _)| *c == class && n == name);
        match slot {
            Some((.., sum)) => *sum += count,
            None => named.push((class, name.to_owned(), count)),
        }
    }

    fn sum(&self, wanted: Class) -> u64 {
        let named = self.named.lock();
        let of_class = named.iter().filter(|(class, ..)| *class == wanted);
        of_class.map(|(.., count)| count).sum()
    }
}
