//! The hash of a build equals that of CPython, for any text that CPython
//! parses.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fastrand::Rng;
use serde::Deserialize;

use crate::harness::protocol::read;
use crate::harness::{Run, Tool};

/// A line that `bh-load --dry-run` prints for a record.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    action: String,
    build_hash: String,
    key: String,
}

/// Returns the hash of each document that can be stored, by its number.
fn hashes<'a>(documents: impl IntoIterator<Item = &'a str>) -> (BTreeMap<usize, String>, Run) {
    let mut input = String::new();
    for (at, document) in documents.into_iter().enumerate() {
        writeln!(input, r#"{{"key":"{at}","build":{document}}}"#).unwrap();
    }
    let args = ["--dry-run", "--database", "sqlite:none.db"];
    let run = Tool::new("bh-load")
        .arg("--marks")
        .args(args)
        .input(input)
        .run();
    let plans: Vec<Plan> = read(&run.stdout);
    let hashes = plans.into_iter().map(|plan| {
        assert!(
            ["insert", "nothing"].contains(&&*plan.action),
            "{}",
            plan.action
        );
        (plan.key.parse().unwrap(), plan.build_hash)
    });
    (hashes.collect(), run)
}

/// Returns the hashes of CPython, by one process for all.
fn python(documents: &[String]) -> Vec<String> {
    const PROGRAM: &str = "import sys, json, hashlib
for line in sys.stdin.buffer:
    text = json.dumps(json.loads(line), sort_keys=True)
    print('v1:' + hashlib.md5(text.encode()).hexdigest())";
    let text = crate::harness::python::run(PROGRAM, documents.join("\n").into_bytes());
    text.lines().map(str::to_owned).collect()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    text: String,
    #[serde(rename = "kind")]
    _kind: String,
    hash: Option<String>,
    /// The verdict of PostgreSQL, if recorded: `ok`, or its error.
    pg: Option<String>,
    #[serde(rename = "verdict")]
    _verdict: String,
}

#[test]
fn the_vectors_have_the_recorded_hashes() {
    let mut cases: Vec<Case> = read(include_bytes!("cases/hash.ndjson"));
    // bh-fetch removes a byte order mark.
    cases.retain(|case| !case.text.contains(['\n', '\r']) && !case.text.starts_with('\u{feff}'));
    let (hashes, run) = hashes(cases.iter().map(|case| &*case.text));
    let run = run.exits(65);
    for (at, case) in cases.iter().enumerate() {
        let object = case.text.trim_start().starts_with('{');
        match (hashes.get(&at), &case.hash) {
            (Some(hash), Some(expected)) => assert_eq!(hash, expected, "{case:?}"),
            (Some(_), None) => panic!("no JSON: {case:?}"),
            (None, Some(_)) => {
                assert!(
                    !object || case.pg.as_deref() != Some("ok"),
                    "refused: {case:?}"
                );
            }
            (None, None) => {}
        }
    }
    assert!(hashes.len() > 200, "{run}");
    assert_eq!(
        hashes.len() as u64
            + run.count("/rejected/bad_line")
            + run.count("/rejected/unstorable")
            + run.count("/rejected/not_an_object"),
        cases.len() as u64,
        "{run}"
    );
}

/// Random documents that jsonb can hold, in every layout that JSON allows.
struct Writer {
    random: Rng,
    out: String,
}

impl Writer {
    fn space(&mut self) {
        while self.random.u8(..) < 20 {
            self.out.push([' ', '\t'][self.random.usize(..2)]);
        }
    }

    fn value(&mut self, depth: usize) {
        self.space();
        match self.random.u8(if depth == 0 { 0..7 } else { 0..10 }) {
            0 => self.out += ["null", "true", "false"][self.random.usize(..3)],
            1..=3 => self.number(),
            4..=6 => self.string(),
            7 => self.list('[', ']', depth, |_| {}),
            _ => self.object(depth),
        }
        self.space();
    }

    fn object(&mut self, depth: usize) {
        self.list('{', '}', depth, |writer| {
            writer.space();
            match writer.random.u8(..4) {
                // Few names, so that some are repeated.
                0 => {
                    writer.out +=
                        ["\"a\"", "\"b\"", "\"\\u0061\"", "\"\""][writer.random.usize(..4)];
                }
                _ => writer.string(),
            }
            writer.space();
            writer.out.push(':');
        });
    }

    fn list(&mut self, open: char, close: char, depth: usize, before: impl Fn(&mut Self)) {
        self.out.push(open);
        for at in 0..self.random.usize(..6) {
            if at > 0 {
                self.out.push(',');
            }
            before(self);
            self.value(depth - 1);
        }
        self.space();
        self.out.push(close);
    }

    fn digits(&mut self, count: usize) {
        for _ in 0..count {
            let digit = self.random.digit(10);
            self.out.push(digit);
        }
    }

    fn number(&mut self) {
        if self.random.bool() {
            self.out.push('-');
        }
        match self.random.u8(..8) {
            0 => {
                self.out += [
                    "0",
                    "0.0",
                    "0e5",
                    "0E-0",
                    "1e16",
                    "1e-5",
                    "0.0001",
                    "9007199254740993.0",
                    "5e-324",
                    "1.7976931348623157e308",
                ][self.random.usize(..10)];
            }
            // A double in three notations.
            1 | 2 => {
                let bits = f64::from_bits(self.random.u64(..) & !(1 << 63));
                let double = if bits.is_finite() { bits } else { 0.1 };
                match self.random.u8(..3) {
                    0 => write!(self.out, "{double:e}"),
                    1 => write!(self.out, "{double:?}"),
                    _ => write!(self.out, "{double:.17E}"),
                }
                .unwrap();
            }
            // A tie between two doubles, or nearly.
            3 => {
                let odd = ((1_u64 << 53) + self.random.u64(..1 << 53)) | 1;
                let tail = ["", ".0", ".5", ".4999999999", "e3", "e-7"][self.random.usize(..6)];
                write!(self.out, "{odd}{tail}").unwrap();
            }
            kind => {
                let whole = [0, 1, 3, 17, 40, 300][self.random.usize(..6)];
                let lead = self.random.u8(if whole == 0 { 0..10 } else { 1..10 });
                self.out.push(char::from(b'0' + lead));
                self.digits(whole);
                if kind % 2 == 0 {
                    self.out.push('.');
                    let count = self.random.usize(1..25);
                    self.digits(count);
                }
                if kind > 5 && whole < 300 {
                    let exponent = self.random.i32(-400..250);
                    let letter = ["e", "E"][self.random.usize(..2)];
                    let sign = if exponent >= 0 && self.random.bool() {
                        "+"
                    } else {
                        ""
                    };
                    write!(self.out, "{letter}{sign}{exponent}").unwrap();
                }
            }
        }
    }

    fn string(&mut self) {
        self.out.push('"');
        for _ in 0..self.random.usize(..8) {
            self.character();
        }
        self.out.push('"');
    }

    fn character(&mut self) {
        let pick = self.random.u8(..10);
        let character = match pick {
            0 => self.random.char('\u{1}'..='\u{1f}'),
            1 => self.random.char('\u{7f}'..='\u{ff}'),
            2 => self.random.char('\u{100}'..='\u{ffff}'),
            3 => self.random.char('\u{10000}'..='\u{10ffff}'),
            4 => [
                '"', '\\', '/', '\u{2028}', '\u{feff}', '\u{e000}', '\u{ffff}',
            ][self.random.usize(..7)],
            _ => self.random.char(' '..='~'),
        };
        let short = match character {
            '"' => Some("\\\""),
            '\\' => Some("\\\\"),
            '/' => Some("\\/"),
            '\u{8}' => Some("\\b"),
            '\u{c}' => Some("\\f"),
            '\n' => Some("\\n"),
            '\r' => Some("\\r"),
            '\t' => Some("\\t"),
            _ => None,
        };
        let raw = !character.is_ascii_control() && !matches!(character, '"' | '\\');
        match (self.random.u8(..4), short) {
            (0, Some(short)) => self.out += short,
            (1.., _) if raw || character == '\u{7f}' => self.out.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let digits = format!("{unit:04x}");
                    let upper = self.random.bool();
                    self.out += "\\u";
                    self.out += &if upper { digits.to_uppercase() } else { digits };
                }
            }
        }
    }
}

#[test]
fn random_documents_are_hashed_as_by_python() {
    let seed = match std::env::var("BUILDHUB_PIPES_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => fastrand::u64(..),
    };
    let mut writer = Writer {
        random: Rng::with_seed(seed),
        out: String::new(),
    };
    let mut documents: Vec<String> = (0..10_000)
        .map(|at| {
            writer.object(1 + at % 12);
            std::mem::take(&mut writer.out)
        })
        .collect();
    documents.push(format!("{}1{}", "{\"a\":[".repeat(450), "]}".repeat(450)));
    let (hashes, run) = hashes(documents.iter().map(|document| &**document));
    let run = run.exits(0);
    let expected = python(&documents);
    assert_eq!(
        (hashes.len(), expected.len()),
        (documents.len(), documents.len()),
        "{run}"
    );
    for (at, document) in documents.iter().enumerate() {
        assert_eq!(
            hashes[&at], expected[at],
            "BUILDHUB_PIPES_SEED={seed}: {document}"
        );
    }
}
