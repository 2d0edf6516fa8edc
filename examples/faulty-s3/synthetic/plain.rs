//! Nightlies, one every 97 seconds, each a folder of 50 files, of which one is a build.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{KeySpace, push_number};

const FIRST: i64 = 1_546_387_200; // 2019-01-02T00:00:00Z
const SECONDS: i64 = 97;
pub const FILES: u64 = 50;

const BUILD: &str = "firefox-66.0a1.en-US.linux-x86_64.buildhub.json";
const PLATFORMS: [&str; 5] = ["linux-i686", "linux-x86_64", "mac", "win32", "win64"];
const KINDS: [&str; 10] = [
    "checksums",
    "complete.mar",
    "crashreporter-symbols.zip",
    "json",
    "langpack.xpi",
    "mozinfo.json",
    "test_packages.json",
    "tests.tar.gz",
    "txt",
    "zip",
];

pub struct Plain {
    len: u64,
    names: Vec<String>,
}

impl Plain {
    pub fn new(len: u64) -> Self {
        let name = |platform, kind| format!("firefox-66.0a1.en-US.{platform}.{kind}");
        let all = PLATFORMS
            .iter()
            .flat_map(|platform| KINDS.iter().map(move |kind| name(platform, kind)));
        let without_one = all.filter(|name| !name.ends_with(".linux-x86_64.zip"));
        let mut names: Vec<_> = without_one.chain([BUILD.to_owned()]).collect();
        names.sort_unstable();
        Self { len, names }
    }
}

impl KeySpace for Plain {
    fn len(&self) -> u64 {
        self.len
    }

    fn key(&self, index: u64, into: &mut String) {
        let start = started(index / FILES);
        into.clear();
        into.push_str("pub/firefox/nightly/");
        for (number, width) in &start[..2] {
            push_number(into, *number, *width);
            into.push('/');
        }
        for (number, width) in start {
            push_number(into, number, width);
            into.push('-');
        }
        into.push_str("mozilla-central/");
        into.push_str(&self.names[usize::try_from(index % FILES).unwrap_or_default()]);
    }
}

/// When the build of this number began, one every 97 seconds: its year, month … second, and the
/// digits that each has.
pub fn started(number: u64) -> [(u64, usize); 6] {
    let seconds = i64::try_from(number).map_or(FIRST, |number| FIRST + number * SECONDS);
    let start = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    let start = TimeZone::UTC.to_datetime(start);
    [
        (start.year().unsigned_abs().into(), 4),
        (start.month().unsigned_abs().into(), 2),
        (start.day().unsigned_abs().into(), 2),
        (start.hour().unsigned_abs().into(), 2),
        (start.minute().unsigned_abs().into(), 2),
        (start.second().unsigned_abs().into(), 2),
    ]
}
