//! Headers of responses.

use super::{entry, text};
use crate::harness::scripted::{Scripted, response};

#[test]
fn unused_headers_never_make_an_object_unreachable() {
    let many: Vec<String> = (0..300)
        .map(|n| format!("x-amz-meta-{n}: {n}\r\n"))
        .collect();
    let table = [
        "x-amz-meta-author: caf\u{e9}\r\n".to_owned(),
        "Last-Modified: yesterday\r\nExpires: never\r\n".to_owned(),
        "x-amz-server-side-encryption: \u{ff}\r\nx-amz-mp-parts-count: many\r\n".to_owned(),
        "x-amz-missing-meta: x\r\nx-amz-tagging-count: -\r\nx-amz-delete-marker: maybe\r\n"
            .to_owned(),
        "x-amz-object-lock-retain-until-date: soon\r\nx-amz-storage-class:\r\n".to_owned(),
        "x-amz-checksum-crc32: no checksum\r\n".to_owned(),
        "no header at all\r\nbad name: x\r\n".to_owned(),
        many.concat(),
    ];
    for odd in table {
        let server = Scripted::new(move |_| {
            let text = String::from_utf8(response(200, &format!("ETag: \"e\"\r\n{odd}"), "{}"));
            // Each character as one byte.
            text.unwrap().chars().map(|c| c as u8).collect()
        });
        let tool = server.tool("bh-fetch").args(["--tries", "1"]);
        let run = tool.input(text([entry("k")])).run().exits(0);
        assert_eq!(run.listing().keys(), ["k"], "{run}");
    }
}

#[test]
fn a_weak_etag_is_that_of_the_listing() {
    let server = Scripted::new(|_| response(200, "ETag: W/\"e-2\"\r\n", "{}"));
    let run = server
        .tool("bh-fetch")
        .input(text([entry("k")]))
        .run()
        .exits(0);
    assert_eq!(
        run.listing().records[0].etag.as_deref(),
        Some("e-2"),
        "{run}"
    );
}
