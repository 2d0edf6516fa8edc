//! Key spaces computed from an index, in key order: any number of keys, in no memory.

pub mod archive;
pub mod names;
pub mod plain;

use std::ops::Range;

/// A way through keys that follow each other.
#[derive(Default)]
pub struct Walk {
    pub key: String,
    /// How much of the key is the folder that it lies in.
    pub folder: usize,
    /// Indices of keys that are known to lie there.
    within: Range<u64>,
    /// What their names are made of.
    of: u64,
    stem: Option<&'static str>,
}

impl Walk {
    pub fn at(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            ..Self::default()
        }
    }
}

/// Keys in byte order.
pub trait KeySpace: Send + Sync {
    fn len(&self) -> u64;

    /// Puts the key at `index` into `into`, in place of what was there.
    fn key(&self, index: u64, into: &mut String);

    /// Goes to the key at `index`.
    fn walk(&self, index: u64, walk: &mut Walk) {
        self.key(index, &mut walk.key);
        walk.folder = walk.key.rfind('/').map_or(0, |slash| slash + 1);
    }

    /// The index of the first key behind `after`.
    fn position(&self, after: &str) -> u64 {
        self.first(&|key| key > after)
    }

    /// The keys that begin with `prefix`.
    fn below(&self, prefix: &str) -> Range<u64> {
        let start = self.first(&|key| key >= prefix);
        start..self.first(&|key| key >= prefix && !key.starts_with(prefix))
    }

    /// The index of the first key for which `behind` holds, as it does for all that follow.
    fn first(&self, behind: &dyn Fn(&str) -> bool) -> u64 {
        let mut key = String::new();
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            self.key(middle, &mut key);
            if behind(&key) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }
}

/// The key space of a name, with `len` keys.
pub fn by_name(name: &str, len: u64) -> Option<Box<dyn KeySpace>> {
    Some(match name {
        "archive" => Box::new(archive::Archive::new(len)),
        "prefix" => Box::new(names::Prefix::new(len)),
        "sequential" => Box::new(names::Sequential::new(len)),
        "hash" => Box::new(names::Hash::new(len)),
        "plain" => Box::new(plain::Plain::new(len)),
        _ => return None,
    })
}

/// The finishing steps of `SplitMix64`: digits that look random.
pub fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Appends `number` with at least `width` digits.
pub fn push_number(into: &mut String, mut number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    while number > 0 || digits.len() - start < width {
        start -= 1;
        digits[start] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
    into.push_str(str::from_utf8(&digits[start..]).unwrap_or_default());
}
