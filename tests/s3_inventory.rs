//! s3-inventory.

mod columns;
pub mod files;
pub mod manifests;
mod refused;
mod resume;
mod rows;

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::harness::{Run, Tool};

fn inventory() -> Tool {
    Tool::new("s3-inventory")
}

/// A row as S3 writes it, in the columns of an inventory without a manifest.
fn row(key: &str, n: usize) -> String {
    format!(
        "\"b\",\"{}\",\"{n}\",\"2019-01-02T03:04:05.000Z\",\"e{n}\"\n",
        encoded(key)
    )
}

fn record(key: &str, n: usize) -> Value {
    json!({
        "bucket": "b", "key": key, "etag": format!("e{n}"), "size": n,
        "last_modified": "2019-01-02T03:04:05.000Z",
    })
}

/// Rows of plain keys with these numbers.
fn rows(numbers: impl IntoIterator<Item = usize>) -> String {
    let rows = numbers.into_iter().map(|n| row(&key(n), n));
    rows.collect()
}

fn records(numbers: impl IntoIterator<Item = usize>) -> Vec<Value> {
    let records = numbers.into_iter().map(|n| record(&key(n), n));
    records.collect()
}

fn key(n: usize) -> String {
    format!("pub/{n:06}/a b.txt")
}

/// Encodes a key as S3 does in an inventory.
pub fn encoded(key: &str) -> String {
    const KEPT: AsciiSet = NON_ALPHANUMERIC
        .remove(b'/')
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'*')
        .remove(b' ');
    utf8_percent_encode(key, &KEPT)
        .to_string()
        .replace(' ', "+")
}

/// Compresses each part as a gzip member.
pub fn gzip<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        let mut member = GzEncoder::new(&mut out, Compression::fast());
        member.write_all(part.as_ref()).unwrap();
        member.finish().unwrap();
    }
    out
}

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

type Bounds = (Option<String>, Option<String>);

/// Returns the intervals of the marks, and whether there is an end mark.
fn marks(run: &Run) -> (Vec<Bounds>, bool) {
    let listing = run.listing();
    let parts = listing.parts.into_iter();
    let parts = parts.map(|(part, _)| (part.after, part.through)).collect();
    (parts, listing.end.is_some())
}
