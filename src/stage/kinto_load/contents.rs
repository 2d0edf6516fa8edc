//! The contents of the server: the id of each record and the hash of its content, in memory
//! and in a file, so that the next run only asks for changes.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::hash::Hasher;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use md5::{Digest, Md5};
use siphasher::sip::SipHasher13;

use super::versions::{RecordVersion, Superseded};
use crate::disk;
use crate::error::{Error, Result};
use crate::json::{self, ParseError};
use crate::log::Log;
use crate::record::release::write_members;
use crate::remote::kinto::KintoServer;
use crate::remote::kinto::pages::Collection;

/// The hash of a content.
pub type Hash = [u8; 16];

/// Records per page; every server allows this many.
const PAGE: u16 = 5000;

const FORMAT: &str = "kinto-load cache 2";

/// The contents of a collection by the hashes of their ids.
#[derive(Default)]
pub struct KintoContents {
    /// By a hash of the id: a content names its id, so a clash of two ids can
    /// only cause a record to be sent that need not be.
    contents: HashMap<u64, Hash>,
    /// The latest change that is known.
    latest: Option<u64>,
    /// Which record it changed, by the hash of its id.
    changed: Option<u64>,
    superseded: Superseded,
    file: PathBuf,
    place: String,
}

/// Returns the MD5 of the record as CPython prints it, without the members that the server
/// sets.
pub fn hash(record: &[u8]) -> Result<Hash, ParseError> {
    let members = json::members(record)?;
    let mut own = Vec::with_capacity(record.len());
    write_members(record, &members, &["last_modified", "schema"], &mut own);
    let mut text = Vec::with_capacity(record.len());
    json::parse(&own)?.write_canonical(&mut text);
    Ok(Md5::digest(&text).into())
}

/// Hashes a text; the same in every run.
pub fn digest(id: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(id.as_bytes());
    hasher.finish()
}

impl KintoContents {
    /// Reads the file, asks the server for what has changed since, and writes the file.
    ///
    /// # Errors
    /// The server is away (69), or the file cannot be written (74).
    pub fn read(
        server: &Arc<KintoServer>,
        (folder, bucket, collection): (&Path, &str, &str),
        log: &Log,
    ) -> Result<Self> {
        let place = format!("{} {bucket} {collection}", server.address());
        let mut known = load(folder.join(name(&place)), place, log);
        let collection = Collection::new(Arc::clone(server), bucket, collection, PAGE);
        let head = collection.head(None, None)?;
        // The server was restored from a backup, so the file is outdated.
        if known.latest.is_some_and(|latest| latest > head.timestamp) {
            known.forget();
        }
        let mut changed = known.latest != Some(head.timestamp) && known.follow(&collection)?;
        // Records that were purged leave no tombstones; only the total shows it.
        let total = if changed {
            collection.head(None, known.latest)?.total
        } else {
            head.total
        };
        if total != Some(known.len() as u64) {
            known.forget();
            changed |= known.follow(&collection)?;
        }
        if changed {
            known.save()?;
        }
        Ok(known)
    }

    fn forget(&mut self) {
        self.contents.clear();
        (self.latest, self.changed) = (None, None);
    }

    pub fn len(&self) -> usize {
        self.contents.len()
    }

    /// Returns whether the server has this content of `id`.
    pub fn has(&self, id: &str, content: Hash) -> bool {
        self.contents.get(&digest(id)) == Some(&content)
    }

    /// Returns whether the input of the last run had a later content of this id, and the
    /// server has another one than this.
    pub fn supersedes(&self, version: RecordVersion) -> bool {
        let stored = self.contents.get(&version.0);
        self.superseded.contains(&version) && stored.is_some_and(|stored| *stored != version.1)
    }

    /// Saves for the next run what the input of this one superseded.
    pub fn keep(mut self, superseded: Superseded) -> Result<()> {
        if self.superseded == superseded {
            return Ok(());
        }
        self.superseded = superseded;
        self.save()
    }

    /// Applies what has changed; returns whether anything has. The server must still have the
    /// latest change that is known, at its time or a later one; otherwise it was restored
    /// from a backup, and everything is read again.
    fn follow(&mut self, collection: &Collection) -> Result<bool> {
        let before = self.latest;
        let expected = self.changed;
        let mut is_same = expected.is_none();
        let since = before.map(|latest| latest.saturating_sub(1));
        let mut page = collection.first(since, None)?;
        self.latest = since;
        loop {
            self.latest = page.records(self.latest, |record| {
                let id = digest(&record.id);
                is_same |= expected == Some(id);
                self.changed = Some(id);
                if record.is_deleted() {
                    self.contents.remove(&id);
                    return Ok(());
                }
                let hash = hash(record.text.as_bytes()).map_err(|error| {
                    Error::configuration(format!("record {:?} of Kinto: {error}", record.id))
                })?;
                self.contents.insert(id, hash);
                Ok(())
            })?;
            match &page.next {
                Some(query) => page = collection.page(query)?,
                None if is_same => return Ok(self.latest != before),
                None => {
                    self.forget();
                    return self.follow(collection).map(|_| true);
                }
            }
        }
    }

    /// Replaces the file.
    fn save(&self) -> Result<()> {
        let written = disk::replace(&self.file, |file| {
            let mut out = std::io::BufWriter::new(file);
            let latest = self.latest.unwrap_or_default();
            writeln!(out, "{FORMAT} {latest} {}", self.place)?;
            writeln!(out, "{:016x}", self.changed.unwrap_or_default())?;
            let mut write = |sign: &str, id: u64, content: Hash| {
                writeln!(out, "{sign}{id:016x}{:032x}", u128::from_be_bytes(content))
            };
            for (id, content) in &self.contents {
                write("", *id, *content)?;
            }
            for (id, content) in &self.superseded {
                write("-", *id, *content)?;
            }
            writeln!(out, "end")?;
            out.flush()
        });
        let folder = self.file.parent().unwrap_or(Path::new(""));
        written.map_err(disk::in_folder("--cache-folder", folder, &self.file))
    }
}

/// Returns the name of the file of a server, bucket and collection.
fn name(place: &str) -> PathBuf {
    let mut name = ".kinto-load-".to_owned();
    for character in place.chars() {
        match character {
            c if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') => name.push(c),
            _ => name.push('_'),
        }
    }
    // Replaced characters may make two places look alike.
    let _ = write!(name, "-{:08x}", digest(place) >> 32);
    PathBuf::from(name)
}

/// Reads the file; if it is damaged or another user's, it is ignored, because everything in it
/// can be read from the server again.
fn load(file: PathBuf, place: String, log: &Log) -> KintoContents {
    let known = match disk::open_own(&file, File::options().read(true)) {
        Ok(cache) => parse(BufReader::new(cache), &place),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            log.warn(format_args!(
                "cannot read the cache {}: {error}; asking the server for all records",
                file.display()
            ));
            None
        }
    };
    KintoContents {
        file,
        place,
        ..known.unwrap_or_default()
    }
}

fn parse(cache: impl BufRead, place: &str) -> Option<KintoContents> {
    let mut lines = cache.lines().map_while(Result::ok);
    let first = lines.next()?;
    let (latest, own) = first.strip_prefix(FORMAT)?.trim().split_once(' ')?;
    if own != place {
        return None;
    }
    let mut known = KintoContents {
        latest: Some(latest.parse().ok()?),
        changed: Some(u64::from_str_radix(&lines.next()?, 16).ok()?),
        ..KintoContents::default()
    };
    for line in lines {
        if line == "end" {
            return Some(known);
        }
        let entry = line.strip_prefix('-');
        let hashes = entry.unwrap_or(&line);
        let id = u64::from_str_radix(hashes.get(..16)?, 16).ok()?;
        let content = u128::from_str_radix(hashes.get(16..)?, 16)
            .ok()?
            .to_be_bytes();
        match entry {
            Some(_) => drop(known.superseded.insert((id, content))),
            None => drop(known.contents.insert(id, content)),
        }
    }
    None
}
