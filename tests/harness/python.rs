//! What CPython reads, and how it hashes what it has read.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

const PROGRAM: &str = "\
import sys, json, hashlib
for line in sys.stdin:
    build = json.loads(bytes.fromhex(line))
    digest = hashlib.md5(json.dumps(build, sort_keys=True).encode()).hexdigest()
    print('v1:' + digest, json.dumps(build))";

/// The hash and the value of each document.
pub fn reads<'a>(documents: impl IntoIterator<Item = &'a [u8]>) -> Vec<(String, Value)> {
    let mut input = String::new();
    for document in documents {
        document
            .iter()
            .for_each(|byte| input += &format!("{byte:02x}"));
        input.push('\n');
    }
    let mut child = Command::new("python3")
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).unwrap();
    answers
        .lines()
        .map(|line| {
            let (hash, text) = line.split_once(' ').unwrap();
            (hash.to_owned(), serde_json::from_str(text).unwrap())
        })
        .collect()
}
