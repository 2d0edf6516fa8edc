//! Parts of about equal size.

use super::tree::{Dir, Item};
use crate::listing::place::clean;
use crate::record::coverage::Interval;

/// An interval, and how many keys it is thought to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub interval: Interval,
    pub keys: u64,
}

/// Keys from a place on, until the next piece.
pub struct Piece {
    pub start: String,
    pub keys: f64,
}

/// Pieces that a gap is divided into, at most.
const MOST: f64 = 256.0;

impl Part {
    fn new(interval: Interval, keys: f64) -> Self {
        let keys = keys.round() as u64;
        Self { interval, keys }
    }
}

/// Puts pieces, each with its start and its keys, together to parts.
pub fn cut(pieces: &[Piece], count: usize) -> Vec<Part> {
    let all: f64 = pieces.iter().map(|piece| piece.keys).sum();
    let goal = all / count as f64;
    let mut parts: Vec<Part> = Vec::new();
    let (mut after, mut keys, mut so_far) = (None, 0.0, 0.0);
    for piece in pieces {
        // A part ends before the piece with its goal in it or behind it, where it is nearer.
        let short = goal * (parts.len() + 1) as f64 - so_far;
        let due = piece.keys > 0.0 && short < piece.keys - short;
        if due && keys >= 1.0 && parts.len() + 1 < count {
            let through = Some(piece.start.clone());
            let interval = Interval::new(after, through.clone());
            parts.push(Part::new(interval, keys));
            (after, keys) = (through, 0.0);
        }
        keys += piece.keys;
        so_far += piece.keys;
    }
    parts.push(Part::new(Interval::new(after, None), keys));
    parts
}

/// Appends the pieces of a directory, none larger than `most` if that can be had.
pub fn divide(dir: &Dir, most: f64, pieces: &mut Vec<Piece>) {
    for (index, list) in dir.lists.iter().enumerate() {
        for item in &list.items {
            match item {
                Item::Dir(inner) if inner.lists.is_empty() => {
                    begin(&inner.name, inner.keys, pieces);
                }
                Item::Dir(inner) => {
                    begin(&inner.name, 0.0, pieces);
                    divide(inner, most, pieces);
                }
                Item::Keys(last, keys) => {
                    go_on(*keys, pieces);
                    begin(last, 0.0, pieces);
                }
            }
        }
        let Some(gap) = dir.gap(index) else { continue };
        let keys = dir.gap_keys(index);
        let count = (keys / most.max(1.0)).min(MOST).floor();
        let each = keys / (count + 1.0);
        go_on(each, pieces);
        for name in gap.divide(count as usize) {
            begin(&format!("{}{name}", dir.name), each, pieces);
        }
    }
}

/// A piece begins at `place`, if one may.
pub fn begin(place: &str, keys: f64, pieces: &mut Vec<Piece>) {
    let last = pieces.last().map_or("", |last| last.start.as_str());
    if place > last && clean(place) == place {
        let start = place.to_owned();
        pieces.push(Piece { start, keys });
    } else {
        go_on(keys, pieces);
    }
}

/// The last piece has so many more keys.
pub fn go_on(keys: f64, pieces: &mut [Piece]) {
    if let Some(last) = pieces.last_mut() {
        last.keys += keys;
    }
}
