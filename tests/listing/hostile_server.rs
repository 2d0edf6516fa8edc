//! A server with hostile keys, which misbehaves in every way that is known of servers.

use std::collections::{BTreeMap, BTreeSet};

use buildhub_pipes::listing::Continuation;
use fastrand::Rng;

const PIECES: [&str; 30] = [
    "a",
    "b",
    "z",
    "0",
    "1",
    "9",
    "/",
    "/",
    "/",
    "//",
    ".",
    "-",
    " ",
    "~",
    "é",
    "ß",
    "中",
    "\u{e000}",
    "\u{fffd}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{1f600}",
    "\u{10ffff}",
    "\u{1}",
    "\n",
    "\u{7f}",
    "\u{85}",
    "dir/",
    "2019-01-0",
    "+",
];

pub fn name(rng: &mut Rng) -> String {
    let mut name = String::new();
    for _ in 0..rng.usize(1..6) {
        name.push_str(rng.choice(PIECES).unwrap());
    }
    if rng.usize(0..60) == 0 {
        name.push_str(&"é".repeat(rng.usize(400..512)));
    }
    while name.len() > 1024 {
        name.pop();
    }
    name
}

/// Directories of which some names begin with all of another's.
fn sibling(rng: &mut Rng) -> &'static str {
    rng.choice(["60.0", "60.0.1", "60.0.2", "60.0-b", "60.00", "60.1", "6"])
        .unwrap()
}

/// Keys of one style: hostile, numbered, a tree, or few.
fn keys(rng: &mut Rng, prefix: &str) -> BTreeSet<String> {
    let count = rng.choice([0, 1, 3, 30, 300]).unwrap();
    let style = rng.usize(0..6);
    let mut keys = BTreeSet::new();
    for turn in 0..count {
        let key = match style {
            0 => name(rng),
            1 => format!("n/{turn:05}"),
            2 => format!("{}/{}/{}", rng.u8(0..4), rng.u8(0..20), rng.u8(..)),
            3 => format!("d{}/", rng.u8(..)),
            4 => format!("{}/{}/{}", sibling(rng), sibling(rng), rng.u8(0..40)),
            _ => format!("{}/{}", name(rng), name(rng)),
        };
        let mut key = format!("{prefix}{key}");
        while key.len() > 1024 {
            key.pop();
        }
        keys.insert(key);
    }
    if rng.bool() && !prefix.is_empty() {
        keys.insert(prefix.to_owned());
    }
    // A key that is also a common prefix.
    if rng.bool() {
        let dirs: Vec<String> = keys
            .iter()
            .filter_map(|key| key.rfind('/').map(|at| key[..=at].to_owned()))
            .filter(|dir| dir.starts_with(prefix))
            .take(3)
            .collect();
        keys.extend(dirs);
    }
    keys
}

#[allow(clippy::struct_excessive_bools, reason = "each is a way to misbehave")]
pub struct Server {
    pub keys: BTreeSet<String>,
    /// Those that are, were or will be there.
    ever: BTreeSet<String>,
    pub prefix: String,
    tokens: BTreeMap<String, String>,
    has_tokens: bool,
    short: bool,
    empty: bool,
    /// Lists a common prefix that `start-after` lies below.
    lists_own: bool,
    /// Fills a page, after a start inside a directory, with keys that sort before it, and
    /// drops them.
    pub minio: bool,
    /// The token after a start that is no key leaves out one key.
    skips: bool,
    pub denies_prefix: bool,
}

impl Server {
    pub fn new(prefix: &str, rng: &mut Rng) -> Self {
        let keys = keys(rng, prefix);
        Self {
            ever: keys.clone(),
            keys,
            prefix: prefix.to_owned(),
            tokens: BTreeMap::new(),
            has_tokens: rng.bool(),
            short: rng.bool(),
            empty: rng.bool(),
            lists_own: rng.bool(),
            minio: false,
            skips: false,
            denies_prefix: false,
        }
        .with_faults(rng)
    }

    fn with_faults(mut self, rng: &mut Rng) -> Self {
        match rng.usize(0..4) {
            0 => {
                self.minio = true;
                (self.short, self.empty) = (false, false);
            }
            1 => self.skips = true,
            2 => self.denies_prefix = true,
            _ => {}
        }
        self
    }

    /// A page as MinIO reads it from the disk, without a listing that it remembers.
    fn raw_page(&self, prefix: &str, after: &str, size: usize) -> (Vec<String>, bool) {
        if !after.is_empty() && !after.starts_with(prefix) {
            return (Vec::new(), false);
        }
        // It compares name by name: `60.0.1` is not before `60.0`.
        let walks = |key: &&String| {
            let start = after.strip_suffix('/').unwrap_or(after);
            let (mut names, mut starts) = (key.split_inclusive('/'), start.split('/'));
            loop {
                match (names.next(), starts.next()) {
                    (Some(name), Some(start)) if name.trim_end_matches('/') != start => {
                        return name > start;
                    }
                    (Some(_), Some(_)) => {}
                    (name, _) => return name.is_some() || key.as_str() > after,
                }
            }
        };
        let all = self.keys.iter().filter(|key| key.starts_with(prefix));
        let read = all.filter(walks).take(size + 4 + size / 16);
        let mut keys: Vec<String> = read.filter(|key| key.as_str() > after).cloned().collect();
        let more = keys.len() > size;
        keys.truncate(size);
        (keys, more)
    }

    fn after<'a>(&'a self, prefix: &'a str, after: &str) -> impl Iterator<Item = &'a String> {
        let from = (
            std::ops::Bound::Excluded(after.to_owned()),
            std::ops::Bound::Unbounded,
        );
        self.keys
            .range::<String, _>(from)
            .filter(move |key| key.starts_with(prefix))
    }

    fn more(&mut self, at: &str) -> Continuation {
        let token = format!("token {}", self.tokens.len());
        self.tokens.insert(token.clone(), at.to_owned());
        Continuation::More(self.has_tokens.then_some(token))
    }

    pub fn page(
        &mut self,
        prefix: &str,
        after: Option<&str>,
        token: Option<&str>,
        size: usize,
        rng: &mut Rng,
    ) -> (Vec<String>, Continuation) {
        let guess = after.is_some_and(|after| !self.ever.contains(after)) && token.is_none();
        if self.minio {
            // A token that it has forgotten is one more start.
            let forgets = token.is_none() || rng.usize(0..3) == 0;
            let after = token.or(after).unwrap_or_default();
            let (keys, more) = if forgets {
                self.raw_page(prefix, after, size)
            } else {
                let mut keys: Vec<_> = self.after(prefix, after).take(size + 1).cloned().collect();
                let more = keys.len() > size;
                keys.truncate(size);
                (keys, more)
            };
            let token = keys.last().cloned().filter(|_| more);
            return (
                keys,
                token.map_or(Continuation::End, |token| Continuation::More(Some(token))),
            );
        }
        let after = match token {
            Some(token) => self.tokens[token].clone(),
            None => after.unwrap_or_default().to_owned(),
        };
        let size = if self.short {
            rng.usize(1..=size)
        } else {
            size
        };
        if self.empty && self.has_tokens && rng.usize(0..4) == 0 {
            return (Vec::new(), self.more(&after));
        }
        let keys: Vec<String> = self.after(prefix, &after).take(size).cloned().collect();
        let Some(last) = keys.last().cloned() else {
            return (keys, Continuation::End);
        };
        let following = self.after(prefix, &last).next().cloned();
        if following.is_some() || self.empty && self.has_tokens && rng.bool() {
            let next = match following {
                Some(next) if self.skips && guess => self.more(&next),
                _ => self.more(&last),
            };
            (keys, next)
        } else {
            (keys, Continuation::End)
        }
    }

    pub fn children(
        &self,
        prefix: &str,
        after: Option<&str>,
        size: usize,
    ) -> (Vec<String>, Vec<String>, Continuation) {
        let (mut names, mut plain): (Vec<String>, Vec<String>) = Default::default();
        let after = after.unwrap_or_default();
        for key in self.after(prefix, after) {
            let name = key[prefix.len()..]
                .find('/')
                .map(|at| key[..=prefix.len() + at].to_owned());
            match name {
                Some(name) if names.last() == Some(&name) => {}
                Some(name) if !self.lists_own && after.starts_with(&name) => {}
                _ if names.len() + plain.len() == size => {
                    return (names, plain, Continuation::More(None));
                }
                Some(name) => names.push(name),
                None => plain.push(key.clone()),
            }
        }
        (names, plain, Continuation::End)
    }
}

pub fn clean(place: &str) -> bool {
    place.len() <= 1024
        && !place.contains(|c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'))
}
