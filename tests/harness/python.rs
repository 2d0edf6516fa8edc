//! CPython, and documents as it parses and hashes them.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

const HASHES: &str = "\
import sys, json, hashlib
for line in sys.stdin:
    build = json.loads(bytes.fromhex(line))
    digest = hashlib.md5(json.dumps(build, sort_keys=True).encode()).hexdigest()
    print('v1:' + digest, json.dumps(build))";

const LINES: &str = "\
import sys, json, math
def plain(value):
    if isinstance(value, dict):
        return {plain(name): plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    if isinstance(value, str):
        return value.encode('utf-8', 'replace').decode()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return 'a long number' if isinstance(value, int) and abs(value) > 2**200 else value
getattr(sys, 'set_int_max_str_digits', int)(0)
for line in sys.stdin.buffer:
    print(json.dumps(plain(json.loads(line))))";

/// Returns the hash and the value of each document.
pub fn reads<'a>(documents: impl IntoIterator<Item = &'a [u8]>) -> Vec<(String, Value)> {
    let mut input = String::new();
    for document in documents {
        for byte in document {
            input += &format!("{byte:02x}");
        }
        input.push('\n');
    }
    let answers = run(HASHES, input.into_bytes());
    answers
        .lines()
        .map(|line| {
            let (hash, text) = line.split_once(' ').unwrap();
            (hash.to_owned(), serde_json::from_str(text).unwrap())
        })
        .collect()
}

/// Parses lines of JSON, including what serde_json does not accept: lone
/// surrogates and numbers beyond its range become some text.
pub fn lines(input: Vec<u8>) -> Vec<Value> {
    super::lines(run(LINES, input).as_bytes())
}

/// Returns what `program` prints for `input`.
pub fn run(program: &str, input: Vec<u8>) -> String {
    let mut child = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}
