//! What the server has: of each record its id and the hash of its content, in
//! memory and in a file, so that the next run asks for changes alone.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::Hasher;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use md5::{Digest, Md5};
use siphasher::sip::SipHasher13;

use crate::disk;
use crate::error::{Error, Result};
use crate::json::{self, ParseError};
use crate::record::release::write_members;
use crate::remote::kinto::KintoServer;
use crate::remote::kinto::pages::Collection;

/// The identity of a content.
pub type Hash = [u8; 16];

/// As many records a page as every server gives.
const PAGE: u16 = 5000;

const FORMAT: &str = "kinto-load cache 1";

#[derive(Default)]
pub struct KintoContents {
    /// By a hash of the id: a content names its id, so a clash of two ids can
    /// only cause a record to be sent that need not be.
    contents: HashMap<u64, Hash>,
    /// The latest change that is known of.
    latest: Option<u64>,
}

/// MD5 of the text that CPython would print of the record, without what the
/// server changes by itself.
pub fn hash(record: &[u8]) -> Result<Hash, ParseError> {
    let members = json::members(record)?;
    let mut own = Vec::with_capacity(record.len());
    write_members(record, &members, &["last_modified", "schema"], &mut own);
    let mut text = Vec::with_capacity(record.len());
    json::parse(&own)?.write_canonical(&mut text);
    Ok(Md5::digest(&text).into())
}

/// A text as a number, the same in every run.
pub fn digest(id: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(id.as_bytes());
    hasher.finish()
}

impl KintoContents {
    /// What the file knows, and what has changed since; then the file is
    /// written anew.
    pub fn read(
        server: &Arc<KintoServer>,
        (folder, bucket, collection): (&Path, &str, &str),
    ) -> Result<Self> {
        let place = format!("{} {bucket} {collection}", server.address());
        let path = folder.join(name(&place));
        let mut known = load(&path, &place);
        let collection = Collection::new(Arc::clone(server), bucket, collection, PAGE);
        let head = collection.head(None, None)?;
        // A server that was set back knows nothing of the file's.
        if known.latest.is_some_and(|latest| latest > head.timestamp) {
            known = Self::default();
        }
        let mut changed = known.latest != Some(head.timestamp) && known.follow(&collection)?;
        // What was deleted with its collection, or purged, is told by its number alone.
        let total = if changed {
            collection.head(None, known.latest)?.total
        } else {
            head.total
        };
        if total != Some(known.len() as u64) {
            known = Self::default();
            changed |= known.follow(&collection)?;
        }
        if changed {
            known
                .save(&path, &place)
                .map_err(Error::local(path.display()))?;
        }
        Ok(known)
    }

    pub fn len(&self) -> usize {
        self.contents.len()
    }

    pub fn has(&self, id: &str, content: Hash) -> bool {
        self.contents.get(&digest(id)) == Some(&content)
    }

    /// Takes over what has changed; whether anything has.
    fn follow(&mut self, collection: &Collection) -> Result<bool> {
        let before = self.latest;
        let mut page = collection.first(self.latest, None)?;
        loop {
            self.latest = page.records(self.latest, |record| {
                let id = digest(&record.id);
                if record.deleted {
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
                None => return Ok(self.latest != before),
            }
        }
    }

    /// Whole or not at all.
    fn save(&self, path: &Path, place: &str) -> std::io::Result<()> {
        disk::replace(path, |file| {
            let mut out = std::io::BufWriter::new(file);
            let latest = self.latest.unwrap_or_default();
            writeln!(out, "{FORMAT} {latest} {place}")?;
            for (id, content) in &self.contents {
                writeln!(out, "{id:016x}{:032x}", u128::from_be_bytes(*content))?;
            }
            writeln!(out, "end")?;
            out.flush()
        })
    }
}

/// One name for each server, bucket and collection.
fn name(place: &str) -> PathBuf {
    let mut name = ".kinto-load-".to_owned();
    for character in place.chars() {
        match character {
            c if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') => name.push(c),
            _ => name.push('_'),
        }
    }
    // Two places may look alike.
    let _ = write!(name, "-{:08x}", digest(place) >> 32);
    PathBuf::from(name)
}

/// What is cached can be asked for again: a file that is not whole is none.
fn load(path: &Path, place: &str) -> KintoContents {
    let known = std::fs::File::open(path).ok().and_then(|file| {
        let mut lines = BufReader::new(file).lines().map_while(Result::ok);
        let first = lines.next()?;
        let (latest, own) = first.strip_prefix(FORMAT)?.trim().split_once(' ')?;
        let mut known = KintoContents {
            contents: HashMap::new(),
            latest: Some(latest.parse().ok()?),
        };
        if own != place {
            return None;
        }
        for line in lines {
            if line == "end" {
                return Some(known);
            }
            let id = u64::from_str_radix(line.get(..16)?, 16).ok()?;
            let content = u128::from_str_radix(line.get(16..)?, 16).ok()?;
            known.contents.insert(id, content.to_be_bytes());
        }
        None
    });
    known.unwrap_or_default()
}
