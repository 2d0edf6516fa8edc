//! Bodies that are shorter than they should be.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::text;
use crate::harness::Run;
use crate::harness::scripted::{Scripted, response};

/// Runs bh-fetch on one object of 8 bytes, whose first answer is `first`.
fn fetched(line: &str, first: &'static [u8]) -> Run {
    let asked = AtomicUsize::new(0);
    let server = Scripted::new(move |_| match asked.fetch_add(1, SeqCst) {
        0 => first.to_vec(),
        _ => response(200, "ETag: \"e\"\r\n", r#"{"a": 1}"#),
    });
    server.tool("bh-fetch").input(text([line.to_owned()])).run()
}

#[test]
fn a_body_shorter_than_listed_is_fetched_again() {
    let whole = b"HTTP/1.0 200 OK\r\nETag: \"e\"\r\n\r\n{}";
    for line in [
        r#"{"bucket":"b","key":"k","size":8}"#,
        r#"{"bucket":"b","key":"k","size":8,"etag":"e"}"#,
    ] {
        for first in [
            b"HTTP/1.0 200 OK\r\nETag: \"e\"\r\n\r\n{\"a\"",
            b"HTTP/1.0 200 OK\r\nETag: \"e\"\r\n\r\n".as_slice(),
            whole,
        ] {
            let run = fetched(line, first).exits(0);
            assert_eq!(run.count("/notes/retries"), 1, "{run}");
            assert_eq!(run.listing().records[0].size, Some(8), "{run}");
        }
    }
    // Another object than the listed one may have another size.
    let replaced = r#"{"bucket":"b","key":"k","size":8,"etag":"old"}"#;
    let run = fetched(replaced, whole).exits(0);
    assert_eq!(run.listing().records[0].size, Some(2), "{run}");
}

#[test]
fn a_partial_body_that_was_not_requested_is_fetched_again() {
    for first in [
        b"HTTP/1.1 206 X\r\nETag: \"e\"\r\nContent-Range: bytes 0-1/8\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}".as_slice(),
        b"HTTP/1.1 206 X\r\nETag: \"e\"\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    ] {
        let run = fetched(r#"{"bucket":"b","key":"k"}"#, first).exits(0);
        assert_eq!(run.count("/notes/retries"), 1, "{run}");
        assert_eq!(run.listing().records[0].size, Some(8), "{run}");
    }
    // Only the status makes it a part.
    let named = b"HTTP/1.1 200 X\r\nETag: \"e\"\r\nContent-Range: bytes 0-1/2\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    let run = fetched(r#"{"bucket":"b","key":"k"}"#, named).exits(0);
    assert_eq!(run.count("/notes/retries"), 0, "{run}");
}
