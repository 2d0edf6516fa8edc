//! More ways in which people name objects.

use crate::synthetic::KeySpace;

type Name = fn(u64, u64, &mut String);

/// A key space by a function of index and length.
pub struct Named {
    pub name: &'static str,
    len: u64,
    key: Name,
}

impl KeySpace for Named {
    fn len(&self) -> u64 {
        self.len
    }

    fn key(&self, index: u64, into: &mut String) {
        into.clear();
        (self.key)(index, self.len, into);
    }
}

const NAMES: [(&str, Name); 12] = [
    ("shards", |i, n, s| {
        let h = hash(i, n);
        *s = format!("{:02x}/{:02x}/{h:016x}", h >> 56, h >> 48 & 255);
    }),
    ("tiny-dirs", |i, n, s| {
        *s = format!(
            "u/{:012x}/{}.txt",
            hash(i / 3, n / 3 + 1) >> 16,
            ["a", "b", "c"][(i % 3) as usize]
        );
    }),
    ("own-dir", |i, n, s| {
        *s = format!("{:016x}/object", hash(i, n));
    }),
    ("events", |i, n, s| {
        // Most of them late.
        let x = (i as f64 / n as f64).powf(0.2) * 86_400.0 * 365.0 * 1000.0;
        let (day, ms) = ((x / 86_400_000.0) as u64, (x % 86_400_000.0) as u64);
        *s = format!(
            "events/2019-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z-{i:010x}",
            day / 31 + 1,
            day % 31 + 1,
            ms / 3_600_000,
            ms / 60_000 % 60,
            ms / 1000 % 60,
            ms % 1000
        );
    }),
    ("unpadded", |i, n, s| *s = format!("n/{}", unpadded(i, n))),
    ("hive", |i, n, s| {
        let hours = 24 * 28 * 12 * 3;
        let hour = i * hours / n;
        let (h, d, m, y) = (
            hour % 24,
            hour / 24 % 28 + 1,
            hour / 672 % 12 + 1,
            2019 + hour / 8064,
        );
        *s = format!(
            "table/year={y}/month={m:02}/day={d:02}/hour={h:02}/part-{:05}-c000.parquet",
            part(i, n, hours).1
        );
    }),
    ("skewed", |i, n, s| {
        let x = (i as f64 + 0.5) / n as f64;
        *s = format!("{:016x}-{i:09}", (x.powi(6) * u64::MAX as f64) as u64);
    }),
    ("words", |i, n, s| words(i, n, s)),
    ("cameras", |i, n, s| {
        // 50 of very different sizes.
        let x = (i as f64 / n as f64).powf(0.25) * 50.0;
        let camera = x as u64;
        let first = ((camera as f64 / 50.0).powi(4) * n as f64) as u64;
        *s = format!(
            "cam-{camera:02}/img-{:08}.jpg",
            (i + 10).saturating_sub(first)
        );
    }),
    ("deep", |i, _, s| {
        s.push_str("x/y/");
        for level in (0..7).rev() {
            s.push(char::from(b'a' + ((i >> (4 * level)) & 15) as u8));
            s.push('/');
        }
        s.push_str("file");
    }),
    ("backups", |i, n, s| {
        let (host, rest, m) = part(i, n, 40);
        let (day, rest, m) = part(rest, m, 30);
        let (dir, rest, _) = part(rest, m, 17);
        *s = format!(
            "backups/host-{host:02}-{}/2019-05-{:02}/var/lib/dir{dir:02}/{rest:09}.bin",
            ["db", "web"][(host % 2) as usize],
            day + 1
        );
    }),
    ("markers", |i, n, s| {
        // Folders with an object of their own name.
        let (dir, rest, _) = part(i, n, n / 50 + 1);
        *s = format!("m/{dir:07}/");
        if rest > 0 {
            s.push_str(&format!("{rest:04}"));
        }
    }),
];

pub fn all(len: u64) -> Vec<Named> {
    let named = |&(name, key)| Named { name, len, key };
    NAMES.iter().map(named).collect()
}

fn part(at: u64, len: u64, parts: u64) -> (u64, u64, u64) {
    let part = at * parts / len;
    let start = |part: u64| (part * len).div_ceil(parts);
    (part, at - start(part), start(part + 1) - start(part))
}

fn hash(index: u64, len: u64) -> u64 {
    let part = u64::MAX / len;
    index * part + (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) % part
}

/// The number at `index` among 1 to `len`, sorted as text.
fn unpadded(mut index: u64, len: u64) -> u64 {
    let mut number = 1;
    loop {
        let (mut low, mut high, mut below) = (number, number + 1, 0);
        while low <= len {
            below += high.min(len + 1) - low;
            (low, high) = (low * 10, high * 10);
        }
        if index >= below {
            index -= below;
            number += 1;
        } else if index == 0 {
            return number;
        } else {
            index -= 1;
            number *= 10;
        }
    }
}

/// Letters as often as in English, as many as it takes to tell names apart.
fn words(index: u64, len: u64, into: &mut String) {
    const OFTEN: [u32; 26] = [
        82, 15, 28, 43, 127, 22, 20, 61, 70, 2, 8, 40, 24, 67, 75, 19, 1, 60, 63, 91, 28, 10, 24,
        2, 20, 1,
    ];
    into.push_str("words/");
    let sum = f64::from(OFTEN.iter().sum::<u32>());
    let (mut x, mut wide) = ((index as f64 + 0.5) / len as f64, 1.0);
    while wide > 0.1 / len as f64 {
        let mut below = 0.0;
        for (letter, &often) in OFTEN.iter().enumerate() {
            let share = f64::from(often) / sum;
            if x < below + share || letter == 25 {
                into.push(char::from(b'a' + letter as u8));
                x = ((x - below) / share).clamp(0.0, 1.0);
                wide *= share;
                break;
            }
            below += share;
        }
    }
    into.push_str(".txt");
}
