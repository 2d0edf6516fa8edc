//! Objects computed from their index, in the order of their keys: any number, in no memory.
//!
//! A folder is a nightly, one every 97 seconds, with 50 files, of which one is a build.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::objects::{Entry, push_md5};

const FIRST: i64 = 1_546_387_200; // 2019-01-02T00:00:00Z
const SECONDS: i64 = 97;
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

pub struct Synthetic {
    len: u64,
    names: Vec<String>,
}

impl Synthetic {
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

    pub fn len(&self) -> u64 {
        self.len
    }

    fn name(&self, index: u64) -> &str {
        let count = self.names.len() as u64;
        usize::try_from(index % count).map_or(BUILD, |at| &self.names[at])
    }

    fn folder(&self, index: u64) -> u64 {
        index / self.names.len() as u64
    }

    pub fn fill_key(&self, index: u64, entry: &mut Entry) {
        let folder = self.folder(index);
        if entry.folder != Some(folder) {
            let start = started(folder);
            entry.folder = Some(folder);
            entry.prefix = start
                .strftime("pub/firefox/nightly/%Y/%m/%Y-%m-%d-%H-%M-%S-mozilla-central/")
                .to_string();
            entry.modified = start.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string();
        }
        entry.key.clear();
        entry.key.push_str(&entry.prefix);
        entry.key.push_str(self.name(index));
    }

    /// The `ETag` and the size. Files that are no builds have one of an upload in parts.
    pub fn fill_facts(&self, index: u64, entry: &mut Entry) {
        entry.etag.clear();
        let body = self.body(index);
        if self.name(index) == BUILD {
            push_md5(&mut entry.etag, body.as_bytes());
        } else {
            let _ = write!(entry.etag, "{:016x}{:016x}-7", mixed(index), mixed(!index));
        }
        entry.size = body.len();
    }

    pub fn body(&self, index: u64) -> String {
        if self.name(index) == BUILD {
            build(self.folder(index))
        } else {
            format!("placeholder {index:012}\n")
        }
    }
}

fn started(folder: u64) -> jiff::Zoned {
    let seconds = i64::try_from(folder).map_or(FIRST, |folder| FIRST + folder * SECONDS);
    let start = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    start.to_zoned(TimeZone::UTC)
}

/// A valid build document of about 900 bytes, another one for every folder.
fn build(folder: u64) -> String {
    let start = started(folder);
    let (id, date) = (
        start.strftime("%Y%m%d%H%M%S"),
        start.strftime("%Y-%m-%dT%H:%M:%S"),
    );
    let path = start.strftime("%Y/%m/%Y-%m-%d-%H-%M-%S-mozilla-central");
    let clang = "/builds/worker/workspace/build/src/clang/bin/clang";
    let revision = format!(
        "{:016x}{:016x}{:08x}",
        mixed(folder),
        mixed(!folder),
        folder & 0xffff_ffff
    );
    let size = 50_000_000 + mixed(folder) % 10_000_000;
    format!(
        r#"{{"build":{{"as":"{clang} -std=gnu99","cc":"{clang} -std=gnu99","cxx":"{clang}++","date":"{date}Z","host":"x86_64-pc-linux-gnu","id":"{id}","target":"x86_64-pc-linux-gnu"}},"download":{{"date":"{date}.000001+00:00","mimetype":"application/x-bzip2","size":{size},"url":"https://archive.mozilla.org/pub/firefox/nightly/{path}/firefox-66.0a1.en-US.linux-x86_64.tar.bz2"}},"source":{{"product":"firefox","repository":"https://hg.mozilla.org/mozilla-central","revision":"{revision}","tree":"mozilla-central"}},"target":{{"channel":"nightly","locale":"en-US","os":"linux","platform":"linux-x86_64","version":"66.0a1"}}}}"#
    )
}

/// The finishing steps of `SplitMix64`: digits that look random.
fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
