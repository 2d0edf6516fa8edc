//! The snapshot of an earlier export: in the last line of its output.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Seek, SeekFrom};
use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::record::mark::Mark;

/// The longest end mark, and more.
const TAIL: u64 = 1 << 20;

/// Returns whether a text is a snapshot; others name a file.
pub fn is_snapshot(text: &str) -> bool {
    ["postgres:", "sqlite:"]
        .iter()
        .any(|name| text.starts_with(name))
}

/// Returns the snapshot that `text` is, or that the file of this name ends with.
///
/// # Errors
/// No such file, or its last line is not the end of an export (78); not readable (74).
pub fn read(text: &str) -> Result<String> {
    if is_snapshot(text) {
        return Ok(text.to_owned());
    }
    let line = last_line(Path::new(text)).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::configuration(format!(
            "cannot read --since {text}: no such file; name the output of an earlier bh-export"
        )),
        _ => Error::at(Kind::LocalIo, format!("cannot read --since {text}"))(error),
    })?;
    let snapshot = match Mark::parse(&line) {
        Some(Mark::End(end)) => end.snapshot,
        _ => None,
    };
    snapshot.ok_or_else(|| {
        Error::configuration(format!(
            "cannot read --since {text}: its last line is not an end mark with a snapshot, so the \
             export did not finish, or wrote no marks; export everything, without --since"
        ))
    })
}

/// Returns the last line that is not blank.
fn last_line(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let data = file.metadata()?;
    if data.is_file() {
        file.seek(SeekFrom::Start(data.len().saturating_sub(TAIL)))?;
    }
    let mut lines = BufReader::new(file);
    let (mut line, mut last) = (Vec::new(), Vec::new());
    while lines.read_until(b'\n', &mut line)? > 0 {
        let text = line.trim_ascii();
        if !text.is_empty() {
            last.clear();
            last.extend_from_slice(text);
        }
        line.clear();
    }
    Ok(last)
}
