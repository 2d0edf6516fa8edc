//! The S3 imitation with faults, `examples/faulty-s3`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{Tool, program};

pub struct Faulty {
    child: Child,
    pub url: String,
    _objects: Option<tempfile::NamedTempFile>,
}

/// Returns an object of the imitation.
pub fn object(key: &str, body: &str) -> Value {
    json!({"key": key, "body": body})
}

impl Faulty {
    /// Starts a server with `objects` and flags; its bucket is `bench`.
    pub fn start(objects: &[Value], flags: &[&str]) -> Self {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for object in objects {
            writeln!(file, "{object}").unwrap();
        }
        let path = file.path().to_str().unwrap().to_owned();
        let flags = [&["--objects", &path], flags].concat();
        Self::serve(&flags, Some(file))
    }

    /// Starts a server with this many generated objects.
    pub fn synthetic(objects: usize, flags: &[&str]) -> Self {
        let objects = objects.to_string();
        Self::serve(&[&["--synthetic", &objects], flags].concat(), None)
    }

    fn serve(flags: &[&str], objects: Option<tempfile::NamedTempFile>) -> Self {
        let mut child = Command::new(program("examples/faulty-s3"))
            .arg("--until-stdin-closes")
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("examples/faulty-s3: build it with cargo build --examples");
        let mut url = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut url).unwrap();
        Self {
            child,
            url: url.trim().to_owned(),
            _objects: objects,
        }
    }

    /// Returns a program that uses this server.
    pub fn tool(&self, name: &str) -> Tool {
        Tool::new(name).args(["--endpoint-url", &self.url, "--no-sign-request"])
    }

    /// Returns the counts of requests so far.
    pub fn counts(&self) -> Value {
        let host = self.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        write!(stream, "GET /_counts HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"))
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}
