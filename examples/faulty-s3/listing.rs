//! One page of `ListObjectsV2`, as XML in the order of elements that S3 keeps.

use std::fmt::Write as _;
use std::ops::Range;

use hyper::body::Bytes;

use crate::encoding::{UrlEncoder, push_xml};
use crate::objects::{Entry, Objects};
use crate::query::{Place, Query, Token};
use crate::synthetic::KeySpace;

/// Room for a key and what is said of it, so that a page is allocated once.
const ROOM: usize = 384;

/// How a page differs from an honest one.
#[derive(Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools)]
pub struct Twist {
    pub empty: bool,
    pub limit: Option<usize>,
    pub stuck: bool,
    pub ignore_start_after: bool,
    pub ignore_prefix: bool,
    pub siblings_fill_pages: bool,
    pub skip_a_key: bool,
    pub hide_encoding: bool,
}

/// The items of a page and where they end.
struct Items {
    contents: String,
    prefixes: String,
    count: usize,
    last: Place,
    more: bool,
}

/// The page in pieces: what stands before the objects depends on the last of them.
pub fn page(bucket: &str, objects: &Objects, query: &Query, twist: Twist) -> [Bytes; 3] {
    let mut items = items(objects, query, twist);
    let more = items.more || twist.stuck;
    let mut head = String::with_capacity(1024);
    head.push_str(concat!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
        "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
    ));
    let _ = write!(head, "<Name>{bucket}</Name>");
    query.push_element(&mut head, "Prefix", &query.prefix);
    if let Some(key) = &query.start_after {
        query.push_element(&mut head, "StartAfter", key);
    }
    if let Some((token, _)) = &query.token {
        let _ = write!(head, "<ContinuationToken>{token}</ContinuationToken>");
    }
    if more {
        let next = Token {
            place: items.last,
            after_empty: twist.empty,
        };
        let next = next.written();
        let _ = write!(
            head,
            "<NextContinuationToken>{next}</NextContinuationToken>"
        );
    }
    let (count, most) = (items.count, query.max_keys);
    let _ = write!(
        head,
        "<KeyCount>{count}</KeyCount><MaxKeys>{most}</MaxKeys>"
    );
    if !query.delimiter.is_empty() {
        query.push_element(&mut head, "Delimiter", &query.delimiter);
    }
    if query.url && !twist.hide_encoding {
        head.push_str("<EncodingType>url</EncodingType>");
    }
    let _ = write!(head, "<IsTruncated>{more}</IsTruncated>");
    items.prefixes.push_str("</ListBucketResult>");
    [head, items.contents, items.prefixes].map(Bytes::from)
}

fn items(objects: &Objects, query: &Query, twist: Twist) -> Items {
    let place = if twist.stuck {
        Place::Start
    } else {
        query.place(twist.ignore_start_after)
    };
    let keys = objects.keys();
    let prefix = if twist.ignore_prefix {
        ""
    } else {
        &query.prefix
    };
    let Range {
        start: mut index,
        mut end,
    } = rest(keys, &place, prefix);
    if let (true, Some(after), None) = (twist.siblings_fill_pages, &query.start_after, &query.token)
        && query.delimiter.is_empty()
    {
        end = end.min(index + read_behind_siblings(keys, query, after));
    }
    let limit = match twist.limit {
        _ if twist.empty => 0,
        Some(limit) => limit.min(query.max_keys),
        None => query.max_keys,
    };
    let mut items = Items {
        contents: String::new(),
        prefixes: String::new(),
        count: 0,
        last: place,
        more: false,
    };
    let mut entry = Entry::default();
    let mut encoder = UrlEncoder::default();
    let mut folder_was_last = None;
    while index < end {
        if items.count == limit {
            items.more = query.max_keys > 0;
            break;
        }
        keys.walk(index, &mut entry.walk);
        if let Some(folder) = query.folder_of(&entry.walk.key) {
            items.prefixes.push_str("<CommonPrefixes>");
            query.push_element(&mut items.prefixes, "Prefix", folder);
            items.prefixes.push_str("</CommonPrefixes>");
            index = past(keys, index, folder);
            folder_was_last = Some(folder.to_owned());
        } else {
            if items.contents.is_empty() {
                items.contents.reserve((limit - items.count) * ROOM);
            }
            objects.fill_facts(index, &mut entry);
            let to = &mut items.contents;
            to.push_str("<Contents><Key>");
            if query.url {
                encoder.push(to, entry.walk.key.split_at(entry.walk.folder));
            } else {
                push_xml(to, &entry.walk.key);
            }
            push_facts(to, &entry);
            index += 1;
            folder_was_last = None;
        }
        items.count += 1;
    }
    let guesses = |after: &String| keys.position(after) == keys.below(after).start;
    if twist.skip_a_key && query.token.is_none() && query.start_after.as_ref().is_some_and(guesses)
    {
        index = (index + 1).min(end);
    }
    if items.count > 0 && items.more {
        items.last = folder_was_last.map_or_else(
            || Place::AfterKey(key_before(keys, index)),
            Place::AfterFolder,
        );
    }
    items
}

/// How many keys behind a start in a folder MinIO reads: those of siblings that sort before
/// the folder count, as `60.0.1/` does for `60.0/`, and are dropped.
fn read_behind_siblings(keys: &dyn KeySpace, query: &Query, after: &str) -> u64 {
    let Some(name) = after.strip_prefix(&*query.prefix) else {
        return 0;
    };
    let slashes = name
        .match_indices('/')
        .map(|(at, _)| query.prefix.len() + at);
    let siblings = slashes.map(|at| {
        let (beside, inside) = (keys.position(&after[..at]), keys.below(&after[..=at]).start);
        inside.saturating_sub(beside)
    });
    let read = (query.max_keys + 5 + query.max_keys / 16) as u64;
    read.saturating_sub(siblings.sum())
}

/// The indices of the keys behind the place that have the prefix.
fn rest(keys: &dyn KeySpace, place: &Place, prefix: &str) -> Range<u64> {
    let after = match place {
        Place::Start => 0,
        Place::AfterKey(last) => keys.position(last),
        Place::AfterFolder(folder) => keys.below(folder).end,
    };
    let all = match prefix {
        "" => 0..keys.len(),
        _ => keys.below(prefix),
    };
    after.max(all.start)..all.end
}

/// Where the folder ends that the key at the index begins, by steps that double: most are small.
fn past(keys: &dyn KeySpace, index: u64, folder: &str) -> u64 {
    let mut key = String::new();
    let (mut inside, mut step) = (index, 1);
    let mut outside = loop {
        let next = inside + step;
        if next >= keys.len() {
            break keys.len();
        }
        keys.key(next, &mut key);
        if !key.starts_with(folder) {
            break next;
        }
        inside = next;
        step *= 2;
    };
    while outside - inside > 1 {
        let middle = inside.midpoint(outside);
        keys.key(middle, &mut key);
        if key.starts_with(folder) {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    outside
}

fn key_before(keys: &dyn KeySpace, index: u64) -> String {
    let mut key = String::new();
    keys.key(index - 1, &mut key);
    key
}

fn push_facts(to: &mut String, entry: &Entry) {
    to.push_str("</Key><LastModified>");
    to.push_str(&entry.modified);
    to.push_str("</LastModified><ETag>&quot;");
    push_xml(to, &entry.etag);
    to.push_str("&quot;</ETag><Size>");
    to.push_str(&entry.size);
    to.push_str("</Size><StorageClass>STANDARD</StorageClass></Contents>");
}
