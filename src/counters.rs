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

/// The counts of violations begin with this; a schema path follows.
pub const VIOLATIONS: &str = "violations of ";

/// The notes that come first, in this order.
const FIRST: [&str; 6] = [
    "requests",
    "retries",
    "pages",
    "files",
    "marks",
    "units held",
];

fn rank(name: &str) -> usize {
    let place = FIRST.iter().position(|first| *first == name);
    place.unwrap_or(FIRST.len())
}

/// Returns a count with its name, which is in the plural.
fn counted(count: u64, name: &str) -> String {
    if count != 1 {
        return format!("{count} {name}");
    }
    let singular = |word: &str| match word.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => word.strip_suffix('s').unwrap_or(word).to_owned(),
    };
    // The noun is the first word in the plural.
    let mut words: Vec<String> = name.split(' ').map(str::to_owned).collect();
    if let Some(noun) = words.iter_mut().find(|word| word.ends_with('s')) {
        *noun = singular(noun);
    }
    format!("1 {}", words.join(" "))
}

/// Each of [`Waiting`] in the progress row.
const WAITING: [&str; 4] = [
    "",
    "waits for input",
    "waits for output",
    "waits for the server",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    /// Whether records are read from somewhere, and counted.
    reads: bool,
    started: Instant,
    read: AtomicU64,
    made: AtomicU64,
    written: AtomicU64,
    /// How many records a source will read, by its last run; 0 where that is not known.
    expected: AtomicU64,
    waiting: AtomicU8,
    named: Mutex<Vec<(Class, String, u64)>>,
    /// What a comparison has found; no part of the sum.
    findings: AtomicU64,
    /// The outcome of each stored run, for the summary in JSON.
    runs: Mutex<Vec<Value>>,
}

impl Counters {
    /// `out_name` is the word for records that came through: "out", "inserted"; `reads`
    /// says whether there are others.
    pub fn new(program: &'static str, out_name: &'static str, reads: bool) -> Self {
        Self {
            program,
            out_name,
            reads,
            started: Instant::now(),
            read: AtomicU64::new(0),
            made: AtomicU64::new(0),
            written: AtomicU64::new(0),
            expected: AtomicU64::new(0),
            waiting: AtomicU8::new(0),
            named: Mutex::default(),
            findings: AtomicU64::new(0),
            runs: Mutex::default(),
        }
    }

    /// Returns the name of the program.
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

    /// Counts differences that were found, which make the exit status 65.
    pub fn add_findings(&self, count: u64) {
        self.findings.fetch_add(count, Relaxed);
    }

    /// Returns whether the exit status has to be 65: for rejects, or for differences.
    pub fn has_findings(&self) -> bool {
        self.rejections() + self.findings.load(Relaxed) > 0
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

    /// Returns whether there is nothing to sum up.
    pub fn is_empty(&self) -> bool {
        self.sides() == (0, 0) && self.named.lock().is_empty()
    }

    /// Returns the summary as one line of text, always in the same order.
    pub fn line(&self) -> String {
        let (read, written, _) = self.snapshot();
        let mut named = self.named();
        named.retain(|(_, _, count)| *count > 0);
        named.sort_by(|(a, one, _), (b, other, _)| {
            (a, rank(one), one).cmp(&(b, rank(other), other))
        });
        let mut parts = vec![format!("{written} {}", self.out_name)];
        let (mut notes, mut violations) = (Vec::new(), Vec::new());
        for (class, name, count) in &named {
            match (class, name.strip_prefix(VIOLATIONS)) {
                (Class::Dropped, _) => parts.push(counted(*count, name)),
                (Class::Rejected, _) => parts.push(format!("{count} rejected ({name})")),
                (_, Some(path)) => violations.push((count, path)),
                (_, None) => notes.push(counted(*count, name)),
            }
        }
        let (entered, finished) = self.sides();
        if entered > finished {
            notes.insert(0, format!("{} in flight", entered - finished));
        }
        if !violations.is_empty() {
            violations.sort_by_key(|(count, path)| (std::cmp::Reverse(*count), *path));
            let of = |(count, path): &(&u64, &str)| format!("{count} of {path}");
            let list: Vec<String> = violations.iter().map(of).collect();
            notes.push(format!("violations: {}", list.join(", ")));
        }
        notes.push(format!("{:.1} s", self.started.elapsed().as_secs_f64()));
        let made = match self.made.load(Relaxed) {
            0 => String::new(),
            made => format!(" + {made} made"),
        };
        let read = match (self.reads, parts.len(), entered) {
            // A source that dropped nothing only reports what it wrote.
            (false, 1, entered) if entered == written => String::new(),
            _ => format!("{read} in{made} = "),
        };
        format!("{read}{}; {}", parts.join(" + "), notes.join("; "))
    }

    /// Returns the summary as JSON.
    pub fn json(&self) -> Value {
        let (read, written, _) = self.snapshot();
        let (entered, finished) = self.sides();
        let named = self.named();
        let counts_of = |wanted: Class| {
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
            "dropped": counts_of(Class::Dropped),
            "rejected": counts_of(Class::Rejected),
            "refused_later": counts_of(Class::RefusedLater),
            "notes": counts_of(Class::Note),
            "runs": *self.runs.lock(),
            "in_flight": entered.saturating_sub(finished),
            "adds_up": entered == finished,
            "seconds": (self.started.elapsed().as_secs_f64() * 1e3).round() / 1e3,
        })
    }

    /// Returns the named counts; a request that is sent again is another request.
    fn named(&self) -> Vec<(Class, String, u64)> {
        let mut named = self.named.lock().clone();
        let count_of = |wanted: &str| named.iter().find(|(_, name, _)| name == wanted);
        let retries = count_of("retries").map_or(0, |(.., count)| *count);
        if let Some((.., requests)) = named.iter_mut().find(|(_, name, _)| name == "requests") {
            *requests += retries;
        }
        named
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the summary without its time.
    fn line(counters: &Counters) -> String {
        let line = counters.line();
        line.rsplit_once("; ")
            .map_or("", |(line, _)| line)
            .to_owned()
    }

    #[test]
    fn the_summary_has_one_order_and_singulars() {
        let counters = Counters::new("test", "out", true);
        counters.add_read(5);
        counters.add_written(2);
        for name in [
            "violations of /b",
            "keys known before",
            "marks",
            "violations of /a",
        ] {
            counters.note(name, 1);
        }
        counters.note("violations of /c", 2);
        counters.note("nothing", 0);
        counters.add_rejected("schema", 1);
        counters.add_dropped("other keys", 1);
        counters.add_dropped("known", 1);
        assert_eq!(
            line(&counters),
            "5 in = 2 out + 1 known + 1 other key + 1 rejected (schema); 1 mark; 1 key known \
             before; violations: 2 of /c, 1 of /a, 1 of /b"
        );
    }

    #[test]
    fn a_source_says_what_it_wrote_and_every_request() {
        let counters = Counters::new("test", "out", false);
        counters.add_read(3);
        counters.add_written(3);
        counters.note("pages", 1);
        counters.note("retries", 16);
        counters.note("requests", 1);
        assert_eq!(line(&counters), "3 out; 17 requests; 16 retries; 1 page");
        assert_eq!(counters.json()["notes"]["requests"], 17);
        counters.add_dropped("old", 1);
        counters.add_read(1);
        assert!(line(&counters).starts_with("4 in = 3 out + 1 old; "));
    }
}
