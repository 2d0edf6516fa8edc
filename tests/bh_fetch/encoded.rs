//! Objects that are stored compressed.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use super::{entry, text};
use crate::harness::Run;
use crate::harness::scripted::{Scripted, response};

const BODY: &str = r#"{"a":"text that is stored compressed"}"#;
/// `BODY` as brotli writes it without compressing it: one block, and an empty last one.
fn brotli(body: &str) -> Vec<u8> {
    let length = u16::try_from(body.len() - 1).unwrap();
    // WBITS 16 (0), not the last, four nibbles of length, uncompressed.
    let bits = u32::from(length) << 4 | 1 << 20;
    let mut bytes = bits.to_le_bytes()[..3].to_vec();
    bytes.extend_from_slice(body.as_bytes());
    bytes.push(3);
    bytes
}

fn gzip(body: &str) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::best());
    writer.write_all(body.as_bytes()).unwrap();
    writer.finish().unwrap()
}

fn zlib(body: &str) -> Vec<u8> {
    let mut writer = ZlibEncoder::new(Vec::new(), Compression::best());
    writer.write_all(body.as_bytes()).unwrap();
    writer.finish().unwrap()
}

fn deflate(body: &str) -> Vec<u8> {
    let mut writer = DeflateEncoder::new(Vec::new(), Compression::best());
    writer.write_all(body.as_bytes()).unwrap();
    writer.finish().unwrap()
}

/// Runs bh-fetch on one object with this header and body.
fn fetched(encoding: &str, body: Vec<u8>, args: &[&str]) -> Run {
    let headers = format!("ETag: \"e\"\r\nContent-Encoding: {encoding}\r\n");
    let server = Scripted::new(move |_| response(200, &headers, &body));
    let tool = server.tool("bh-fetch").args(args.iter().copied());
    tool.input(text([entry("k")])).run()
}

#[test]
fn a_body_is_decoded_as_its_content_encoding_says() {
    let zstd = |body: &str| zstd::encode_all(body.as_bytes(), 0).unwrap();
    let two = [gzip(&BODY[..9]), gzip(&BODY[9..])].concat();
    let table = [
        ("gzip", gzip(BODY)),
        ("GZIP", gzip(BODY)),
        ("x-gzip", two),
        ("aws-chunked, gzip", gzip(BODY)),
        ("deflate", zlib(BODY)),
        ("deflate", deflate(BODY)),
        ("br", brotli(BODY)),
        ("zstd", zstd(BODY)),
        ("identity", BODY.into()),
        // A proxy has decoded it, and kept the header.
        ("gzip", BODY.into()),
    ];
    for (encoding, body) in table {
        let stored = body.len();
        let run = fetched(encoding, body, &[]).exits(0);
        let expected = format!(
            "{{\"bucket\":\"bench\",\"etag\":\"e\",\"key\":\"k\",\"size\":{stored},\"build\":{BODY}}}\n"
        );
        assert_eq!(
            String::from_utf8_lossy(&run.stdout),
            expected,
            "{encoding} {run}"
        );
    }
}

#[test]
fn an_encoding_that_cannot_be_decoded_is_a_reject_that_names_it() {
    let mut broken = gzip(BODY);
    broken.truncate(20);
    for (encoding, body) in [
        ("compress", BODY.replace('{', "x").into_bytes()),
        ("gzip", broken),
        ("zstd", b"no zstd".to_vec()),
    ] {
        let run = fetched(encoding, body, &["--tries", "1"])
            .exits(65)
            .prints_nothing();
        assert_eq!(run.count("/rejected/content_encoding"), 1, "{run}");
        run.says(encoding);
    }
}

#[test]
fn an_object_that_is_compressed_without_saying_so_is_a_reject_that_says_it() {
    let run = fetched("identity", gzip(BODY), &[]).exits(65);
    assert_eq!(run.count("/rejected/not_json"), 1, "{run}");
    run.says("compressed with gzip, and no Content-Encoding says so");
}

#[test]
fn the_size_limit_counts_decoded_bytes() {
    let bomb = gzip(&format!("{{{}}}", " ".repeat(10 << 20)));
    assert!(bomb.len() < 20_000);
    let run = fetched("gzip", bomb, &["--max-size", "1M"])
        .exits(65)
        .prints_nothing();
    assert_eq!(run.count("/rejected/too_large"), 1, "{run}");
    run.says("--max-size");
}
