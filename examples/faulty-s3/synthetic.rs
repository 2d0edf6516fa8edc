//! Objects computed from their index, in the order of their keys: any number, in no memory.
//!
//! A folder is a nightly, one every 97 seconds, with 50 files, of which one is a build.

use crate::build::{self, mixed};
use crate::encoding::push_hex;
use crate::objects::{Entry, push_md5};

/// Length of the content of a file that is no build.
const PLACEHOLDER: &str = "25";
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
    /// Which of them is the build's.
    build: u64,
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
        let build = names.iter().take_while(|name| *name != BUILD).count() as u64;
        Self { len, names, build }
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    fn name(&self, index: u64) -> &str {
        let count = self.names.len() as u64;
        usize::try_from(index % count).map_or(BUILD, |at| &self.names[at])
    }

    fn is_build(&self, index: u64) -> bool {
        index % self.names.len() as u64 == self.build
    }

    fn folder(&self, index: u64) -> u64 {
        index / self.names.len() as u64
    }

    pub fn fill_key(&self, index: u64, entry: &mut Entry) {
        let folder = self.folder(index);
        if entry.folder != Some(folder) {
            let start = build::started(folder);
            entry.folder = Some(folder);
            entry.prefix = format!("pub/firefox/nightly/{}/", build::folder(&start));
            let [year, month, day, hour, minute, second] = start;
            entry.modified = format!("{year}-{month}-{day}T{hour}:{minute}:{second}.000Z");
        }
        entry.key.clear();
        entry.key.push_str(&entry.prefix);
        entry.key.push_str(self.name(index));
    }

    /// The `ETag` and the size. Files that are no builds have one of an upload in parts.
    pub fn fill_facts(&self, index: u64, entry: &mut Entry) {
        entry.etag.clear();
        if self.is_build(index) {
            let body = self.body(index);
            push_md5(&mut entry.etag, body.as_bytes());
            entry.size = body.len().to_string();
        } else {
            push_hex(&mut entry.etag, &mixed(index).to_be_bytes());
            push_hex(&mut entry.etag, &mixed(!index).to_be_bytes());
            entry.etag.push_str("-7");
            PLACEHOLDER.clone_into(&mut entry.size);
        }
    }

    pub fn body(&self, index: u64) -> String {
        if self.is_build(index) {
            build::build(self.folder(index))
        } else {
            format!("placeholder {index:012}\n")
        }
    }
}
