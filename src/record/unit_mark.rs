//! The mark of a unit. A stage extends its `counts`, and may make it a `held` one; all else of
//! its line stays as it came.

use std::fmt;
use std::ops::Range;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::coverage::Interval;
use super::stage_counts::StageCounts;
use crate::json;

/// Which lines a mark closes, and what the stages before made of them.
#[derive(Debug)]
pub struct UnitMark {
    /// `None` for a receipt that another program acts on: a queue message.
    pub part: Option<RunPart>,
    /// Not every line of the unit was accepted.
    pub held: Option<Held>,
    /// The number of records that the previous stage wrote; `None` if it did not count, and
    /// of the source's own mark.
    pub sent: Option<u64>,
    pub unit_kind: UnitKind,
    /// When the queue message came.
    pub received: Option<Timestamp>,
    /// The position of its kind in the line.
    kind: Range<usize>,
    /// Where in the line `counts` ends, at its bracket.
    counts_end: Option<usize>,
}

/// What a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitKind {
    /// A page of a listing.
    Listed,
    /// A page of an export.
    Page,
    /// A queue message.
    Message,
    Other,
}

/// Every key of the run with `after` < key ≤ `through` has been listed, or exported.
#[derive(Debug, Clone)]
pub struct RunPart {
    pub run: String,
    pub keys: Interval,
}

impl fmt::Display for UnitMark {
    /// Writes for people which lines they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.part {
            None => f.write_str("a mark of no run"),
            Some(RunPart { run, keys }) => write!(f, "run {run}, {keys}"),
        }
    }
}

/// Why a unit is not confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Held {
    /// The stage that did not accept it.
    pub by: String,
    pub why: String,
}

/// A record was refused and kept nowhere.
pub const REJECTED: &str = "rejected";
/// A record could not be finished now.
pub const FAILED: &str = "failed";

impl Held {
    pub fn new(by: &str, why: &str) -> Self {
        Self {
            by: by.to_owned(),
            why: why.to_owned(),
        }
    }

    /// Returns whether lines were lost or doubled on the way.
    pub fn is_loss(&self) -> bool {
        self.why != REJECTED && self.why != FAILED
    }
}

/// The name of a unit's kind, and of its last member.
#[derive(Debug, Clone, Copy)]
pub enum PartKind {
    Listed,
    Page,
}

impl PartKind {
    const ALL: [Self; 2] = [Self::Listed, Self::Page];

    fn unit_kind(self) -> UnitKind {
        match self {
            Self::Listed => UnitKind::Listed,
            Self::Page => UnitKind::Page,
        }
    }

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Listed => ("listed", "through"),
            Self::Page => ("page", "next"),
        }
    }
}

impl UnitMark {
    /// Reads the members of a mark whose body begins at `start` in its line.
    pub(super) fn read(mark: &json::Members<'_>, start: usize) -> Option<Self> {
        let named = |name: &str| mark.get(name);
        let known = ["held", "listed", "page", "message"];
        // A mark of another kind is a receipt for another program, but closes a unit too.
        let other = || mark.iter().find(|member| member.name != *"counts");
        let kind = known.into_iter().find_map(named).or_else(other)?;
        let is_held = kind.name == *"held";
        let held = is_held.then(|| serde_json::from_slice(kind.value).ok());
        let within = json::members(kind.value).ok();
        let part = match &within {
            Some(within) if is_held => run_part(within),
            _ => run_part(mark),
        };
        let unit = if is_held { within.as_ref() } else { Some(mark) };
        let message = unit.and_then(|unit| json::members(unit.value("message")?).ok());
        let received = message.as_ref().and_then(|it| text(it, "received"));
        let has = |name: &str| unit.is_some_and(|unit| unit.get(name).is_some());
        let unit_kind = match () {
            () if message.is_some() => UnitKind::Message,
            () if has("listed") => UnitKind::Listed,
            () if has("page") => UnitKind::Page,
            () => UnitKind::Other,
        };
        let counts = mark.get("counts");
        let sent = match counts {
            Some(counts) => sent(counts.value).ok()?,
            None => None,
        };
        Some(Self {
            part,
            held: held.flatten(),
            sent,
            unit_kind,
            received: received.and_then(|time| time.parse().ok()),
            kind: start + kind.start..start + kind.end,
            counts_end: counts.map(|counts| start + counts.end - 1),
        })
    }

    /// Returns whether the stages before counted.
    pub fn is_counted(&self) -> bool {
        self.counts_end.is_some()
    }

    /// Returns `line`, which is this mark, as a stage passes it on whose counts are
    /// `entry`, and which holds the unit if `held` says so.
    pub fn extend(&self, line: &[u8], entry: &StageCounts, held: Option<&Held>) -> Vec<u8> {
        let mut extended = Vec::with_capacity(line.len() + 128);
        let mut from = 0;
        if let Some(Held { by, why }) = held {
            extended.extend_from_slice(&line[..self.kind.start]);
            extended.extend_from_slice(b"\"held\":{");
            extended.extend_from_slice(&line[self.kind.clone()]);
            for (name, text) in [("by", by), ("why", why)] {
                extended.push(b',');
                json::write_str(name, &mut extended);
                extended.push(b':');
                json::write_str(text, &mut extended);
            }
            extended.push(b'}');
            from = self.kind.end;
        }
        if let Some(end) = self.counts_end.filter(|end| *end >= from) {
            extended.extend_from_slice(&line[from..end]);
            if !extended.ends_with(b"[") {
                extended.push(b',');
            }
            if let Ok(entry) = serde_json::to_vec(entry) {
                extended.extend_from_slice(&entry);
            }
            from = end;
        }
        extended.extend_from_slice(&line[from..]);
        extended
    }
}

/// Returns the part of a run that the members name, `None` where they name none.
fn run_part(mark: &json::Members<'_>) -> Option<RunPart> {
    let parts = PartKind::ALL.into_iter().map(PartKind::names);
    let mut found = parts.filter_map(|(name, end)| Some((mark.value(name)?, end)));
    let (body, end) = found.next()?;
    let body = json::members(body).ok()?;
    let bound = |name: &str| match body.value(name)? {
        b"null" => Some(None),
        _ => text(&body, name).map(Some),
    };
    Some(RunPart {
        run: text(&body, "run")?,
        keys: Interval::new(bound("after")?, bound(end)?),
    })
}

/// Returns the number of records that the last entry of `counts` wrote, if there is one.
fn sent(counts: &[u8]) -> serde_json::Result<Option<u64>> {
    #[derive(Deserialize)]
    struct Out {
        #[serde(default)]
        out: u64,
    }
    let entries: Vec<&RawValue> = serde_json::from_slice(counts)?;
    let last = entries
        .last()
        .map(|last| serde_json::from_str::<Out>(last.get()));
    Ok(last.transpose()?.map(|last| last.out))
}

/// Returns the entries of `counts` in the line of a mark; empty if no program counted.
pub fn counts(line: &[u8]) -> Vec<StageCounts> {
    #[derive(Deserialize)]
    struct Line {
        mark: Counted,
    }
    #[derive(Deserialize)]
    struct Counted {
        #[serde(default)]
        counts: Vec<StageCounts>,
    }
    let line = serde_json::from_slice(line);
    line.map_or_else(|_| Vec::new(), |line: Line| line.mark.counts)
}

fn text(members: &json::Members<'_>, name: &str) -> Option<String> {
    let text = json::text_of(members.value(name)?)?;
    Some(text.to_str().ok()?.into_owned())
}

/// Returns a source's unit mark, still without counts, and its line without newline.
pub fn part(part_kind: PartKind, run: &str, keys: &Interval) -> (UnitMark, Vec<u8>) {
    let (name, end) = part_kind.names();
    let mut out = b"{\"mark\":{".to_vec();
    let start = out.len();
    json::write_str(name, &mut out);
    out.extend_from_slice(b":{\"run\":");
    json::write_str(run, &mut out);
    for (member, bound) in [("after", &keys.after), (end, &keys.through)] {
        out.push(b',');
        json::write_str(member, &mut out);
        out.push(b':');
        match bound {
            Some(key) => json::write_str(key, &mut out),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
    let kind = start..out.len();
    out.extend_from_slice(b",\"counts\":[");
    let counts_end = out.len();
    out.extend_from_slice(b"]}}");
    let mark = UnitMark {
        part: Some(RunPart {
            run: run.to_owned(),
            keys: keys.clone(),
        }),
        held: None,
        sent: None,
        unit_kind: part_kind.unit_kind(),
        received: None,
        kind,
        counts_end: Some(counts_end),
    };
    (mark, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::mark::Mark;

    fn unit(line: &[u8]) -> UnitMark {
        match Mark::parse(line) {
            Some(Mark::Unit(unit)) => unit,
            other => panic!("{other:?}"),
        }
    }

    fn counted(stage: &str, read: u64, out: u64) -> StageCounts {
        StageCounts {
            stage: stage.to_owned(),
            read,
            out,
            ..StageCounts::default()
        }
    }

    #[test]
    fn stages_append_their_counts() {
        let keys = Interval::new(None, Some("k\"".to_owned()));
        let (own, line) = part(PartKind::Listed, "r", &keys);
        assert_eq!(format!("{own:?}"), format!("{:?}", unit(&line)));
        assert_eq!(own.sent, None);
        let line = own.extend(&line, &counted("s3-list", 0, 5), None);
        let next = unit(&line);
        assert_eq!(next.sent, Some(5));
        assert_eq!(next.part.as_ref().map(|part| &part.keys), Some(&keys));
        let line = next.extend(&line, &counted("bh-filter", 5, 0), None);
        assert_eq!(unit(&line).sent, Some(0));
        let entries = counts(&line);
        assert_eq!(
            entries,
            [counted("s3-list", 0, 5), counted("bh-filter", 5, 0)]
        );
    }

    #[test]
    fn a_held_mark_says_what_it_was() {
        let keys = Interval::new(Some("a".to_owned()), None);
        for kind in PartKind::ALL {
            let (_, line) = part(kind, "r", &keys);
            let held = Held {
                by: "bh-fetch".to_owned(),
                why: FAILED.to_owned(),
            };
            let line = unit(&line).extend(&line, &counted("bh-fetch", 3, 2), Some(&held));
            let read = unit(&line);
            assert_eq!(read.held, Some(held));
            assert_eq!(read.sent, Some(2));
            let line = read.extend(&line, &counted("bh-load", 2, 2), None);
            assert!(unit(&line).held.is_some_and(|held| !held.is_loss()));
            assert_eq!(counts(&line).len(), 2);
        }
    }

    #[test]
    fn unknown_marks_and_members_pass_unchanged() {
        let line =
            br#"{"mark":{"new":{},"listed":{"run":"r","after":null,"through":"b","x":1},"y":2}}"#;
        let old = unit(line);
        assert_eq!((old.sent, old.held.is_none()), (None, true));
        assert_eq!(old.extend(line, &counted("bh-filter", 1, 1), None), line);
        let foreign = br#"{"mark":{"new":{"a":1}}}"#;
        let held = Held::new("bh-load", REJECTED);
        let line = unit(foreign).extend(foreign, &counted("bh-load", 1, 0), Some(&held));
        let kept = br#"{"mark":{"held":{"new":{"a":1},"by":"bh-load","why":"rejected"}}}"#;
        assert_eq!(line, kept);
        assert_eq!(unit(&line).held, Some(held));
        assert!(Mark::parse(br#"{"mark":{"new":{}},"key":"k"}"#).is_none());
    }
}
