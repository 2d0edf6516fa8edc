//! Answers and files that are small, or of no known length, and take much memory.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::endless;
use crate::harness::{Run, Tool, folder};
use crate::s3_inventory::files::parquet_file;

const LOAD: &str = "{\"bucket\":\"b\",\"key\":\"k\",\"etag\":\"e\",\"build\":{\"build\":{}}}\n";

/// A server that answers each request by `head` and `body`, and closes the connection.
fn closing(head: &'static str, body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let body = std::sync::Arc::new(body);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, body): (TcpStream, _) = (stream.unwrap(), body.clone());
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(&body);
            });
        }
    });
    url
}

/// Runs a tool, and returns the most memory that it had, in MiB.
fn peak(tool: Tool) -> (u64, Run) {
    const CODE: &str = "import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
sys.stderr.write(f'\\n{peak >> 10}\\n')
sys.exit(code)";
    let run = tool.under(["python3", "-c", CODE]).run();
    let peak = run.stderr.trim_end().lines().last().unwrap();
    (peak.parse().unwrap(), run)
}

fn load(elasticsearch: &str) -> Tool {
    let tool = Tool::new("bh-load").args(["--database", "sqlite:b.db"]);
    tool.env("ELASTICSEARCH_URL", elasticsearch).input(LOAD)
}

#[test]
fn an_answer_of_elasticsearch_is_limited() {
    let json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\":\"";
    let (url, sent) = endless(json, "abcdefgh");
    let run = load(&url).run().exits(69);
    run.says("the answer is longer than 64 MiB");
    assert!(sent.load(Ordering::Relaxed) < 200 << 20);
}

/// Zeros of which a thousand are a byte.
#[test]
fn an_answer_is_limited_also_when_it_is_decompressed() {
    let mut zeros = GzEncoder::new(Vec::new(), Compression::best());
    std::io::copy(&mut std::io::repeat(b' ').take(400 << 20), &mut zeros).unwrap();
    let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n";
    let url = closing(head, zeros.finish().unwrap());
    let (peak, run) = peak(load(&url));
    run.exits(69).says("the answer is longer than 64 MiB");
    assert!(peak < 300, "{peak} MiB");
}

#[test]
fn elasticsearch_is_not_followed_to_another_server() {
    let (other, asked) = endless("HTTP/1.1 200 OK\r\n\r\n", "x");
    let head = format!("HTTP/1.1 307 Moved\r\nLocation: {other}/\r\nContent-Length: 0\r\n\r\n");
    let url = closing(head.leak(), Vec::new());
    load(&url).run().exits(78).says("HTTP 307");
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

/// The bytes in flight are counted as they come.
#[test]
fn bodies_without_a_length_take_no_more_memory_than_others() {
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    let url = closing(head, [b"{\"a\":\"", &*vec![b'a'; 15 << 20]].concat());
    let lines: Vec<_> = (0..60)
        .map(|n| format!("{{\"bucket\":\"b\",\"key\":\"{n}\"}}\n"))
        .collect();
    let tool = Tool::new("bh-fetch").args(["--endpoint-url", &url, "--no-sign-request"]);
    let (peak, run) = peak(tool.input(lines.concat()));
    let run = run.exits(65);
    assert_eq!(run.count("/rejected/not_json"), 60, "{run}");
    assert!(peak < 300, "{peak} MiB");
}

#[test]
fn a_parquet_file_with_a_huge_value_is_refused() {
    let place = folder();
    let read = |length: usize| {
        let path = place.path().join("huge.parquet");
        let key = "k".repeat(length);
        std::fs::write(&path, parquet_file(&[(key, true, false)], true)).unwrap();
        assert!(path.metadata().unwrap().len() < 8 << 20);
        Tool::new("s3-inventory").arg(path).run()
    };
    let run = read(100 << 20).exits(78);
    run.says("huge.parquet: ").says("bytes, more than 32 MiB");
    // The reject of a key that is only too long is no longer than a line may be.
    let rejects = place.path().join("rejects");
    let path = place.path().join("long.parquet");
    let key = "k".repeat(20 << 20);
    std::fs::write(
        &path,
        parquet_file(&[("a".to_owned(), true, false), (key, true, false)], true),
    )
    .unwrap();
    let tool = Tool::new("s3-inventory")
        .arg(path)
        .arg("--rejects")
        .arg(&rejects);
    tool.run().exits(65);
    assert!(rejects.metadata().unwrap().len() < 64 << 10);
}
