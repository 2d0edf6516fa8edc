//! Sample builds.

use serde_json::{Value, json};

/// Returns a valid build, a different one for every `n`.
pub fn build(n: usize) -> Value {
    let os = ["linux", "win", "mac", "android", "maemo"][n % 5];
    json!({
        "build": {
            "id": format!("{}", 20_190_101_000_000_u64 + n as u64),
            "date": "2019-01-01T10:00:00Z",
            "number": n % 7,
            "as": "/usr/bin/as",
            "cc": "/usr/bin/clang -std=gnu99",
            "host": "x86_64-pc-linux-gnu",
            "target": "x86_64-pc-linux-gnu",
        },
        "source": {
            "product": "firefox",
            "repository": "https://hg.mozilla.org/mozilla-central",
            "tree": "mozilla-central",
            "revision": format!("{n:040x}"),
        },
        "target": {
            "platform": "linux-x86_64",
            "os": os,
            "locale": "en-US",
            "version": "66.0a1",
            "channel": "nightly",
        },
        "download": {
            "url": format!("https://archive.mozilla.org/pub/firefox/{n}.tar.bz2"),
            "mimetype": "application/x-bzip2",
            "size": 50_000_000 + n,
            "date": "2019-01-01T11:00:00+00:00",
        },
    })
}

/// Returns the key of a build.
pub fn key(n: usize) -> String {
    format!("pub/firefox/nightly/2019/01/{n:05}/buildhub.json")
}

/// Returns the record of a build as bh-fetch writes it.
pub fn record(n: usize) -> Value {
    json!({"bucket": "b", "key": key(n), "etag": format!("e{n}"), "size": 900, "build": build(n)})
}

/// Returns the lines of these values.
pub fn ndjson<'a>(records: impl IntoIterator<Item = &'a Value>) -> Vec<u8> {
    let lines = records.into_iter().map(|record| format!("{record}\n"));
    lines.collect::<String>().into_bytes()
}

/// Returns the hash by CPython.
pub fn python_hash(build: &Value) -> String {
    const PROGRAM: &str = "import sys, json, hashlib
text = json.dumps(json.loads(sys.stdin.buffer.read()), sort_keys=True)
print('v1:' + hashlib.md5(text.encode()).hexdigest())";
    let mut child = std::process::Command::new("python3")
        .args(["-c", PROGRAM])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, build.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
