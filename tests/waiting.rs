//! A program that waits says so, and for what.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStderr, Command, Stdio};

use crate::bh_derive;
use crate::harness::http::message;
use crate::harness::postgres::Database;
use crate::harness::sample::record;
use crate::harness::scripted::{Scripted, refusal, response};
use crate::harness::{Tool, folder, program};

/// A running program, whose messages are read as they come.
struct Waiter {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
    _folder: tempfile::TempDir,
}

impl Waiter {
    /// Starts `command`, the program with its arguments.
    fn start(command: &str, input: &str) -> Self {
        let folder = folder();
        let mut words = command.split(' ');
        let mut child = Command::new(program(words.next().unwrap()))
            .args(words)
            .env_clear()
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self {
            child,
            stderr,
            said: String::new(),
            _folder: folder,
        }
    }

    /// Waits for a message with this text.
    #[track_caller]
    fn hears(&mut self, text: &str) {
        while !self.said.contains(text) {
            let read = self.stderr.read_line(&mut self.said).unwrap();
            assert!(read > 0, "{text:?} is not said: {}", self.said);
        }
    }

    /// Waits for its end, and asserts success.
    #[track_caller]
    fn succeeds(mut self) {
        self.stderr.read_to_string(&mut self.said).unwrap();
        assert!(self.child.wait().unwrap().success(), "{}", self.said);
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Starts a server that answers every connection with `start`, and then with `drip` again and
/// again, ten times a second; nothing follows if that is empty. Returns its address.
fn server(start: &'static str, drip: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // It runs until the process ends.
    std::thread::spawn(move || {
        for client in listener.incoming() {
            std::thread::spawn(move || {
                let mut client = client.unwrap();
                if !start.is_empty() && message(&client, false).is_none() {
                    return;
                }
                let mut sent = client.write_all(start.as_bytes());
                while sent.is_ok() {
                    std::thread::park_timeout(std::time::Duration::from_millis(100));
                    sent = client.write_all(drip.as_bytes());
                }
            });
        }
    });
    address
}

const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n<ListBucketResult>";
const OBJECT: &str = "{\"bucket\":\"b\",\"key\":\"k\"}\n";

/// Each command that asks the server at `url` before it needs anything else, with its input.
fn commands(url: &str) -> Vec<(String, String)> {
    let s3 = format!("--no-sign-request --endpoint-url {url}");
    let derive = bh_derive::line(&bh_derive::key("en-US", "linux-x86_64")) + "\n";
    vec![
        (format!("s3-list {s3} s3://b"), String::new()),
        (format!("bh-fetch {s3}"), OBJECT.to_owned()),
        (format!("kinto-export --server {url}/v1"), String::new()),
        (format!("bh-derive --archive-url {url}"), derive),
    ]
}

#[test]
fn a_frozen_server_is_named() {
    for start in ["", HALF] {
        let frozen = &server(start, "");
        let mut table = commands(&format!("http://{frozen}"));
        let load = format!("bh-load --database sqlite:b.db --elasticsearch http://{frozen}");
        table.push((load, String::new()));
        std::thread::scope(|scope| {
            for (command, input) in &table {
                scope.spawn(move || {
                    let mut waiter = Waiter::start(command, input);
                    waiter.hears(": waiting for ");
                    waiter.hears(frozen);
                    waiter.hears(": no answer for 2 s");
                    waiter.kill();
                });
            }
        });
    }
    let frozen = server("", "");
    let mut waiter = Waiter::start(&format!("bh-load --database postgres://{frozen}/b"), "");
    waiter.hears(&format!(
        "waiting for postgres://{frozen}/b: a request takes long"
    ));
    waiter.kill();
}

#[test]
fn a_locked_table_is_waited_for_and_said() {
    let Some(database) = Database::new() else {
        return;
    };
    let args = ["--database", &database.url];
    Tool::new("bh-load").args(args).run().exits(0);
    let mut holder = database.client();
    holder
        .batch_execute("BEGIN; LOCK TABLE main_build")
        .unwrap();
    let line = format!("{}\n", record(0));
    let mut waiter = Waiter::start(&format!("bh-load --database {}", database.url), &line);
    waiter.hears("bh-load: waiting for postgres");
    holder.batch_execute("COMMIT").unwrap();
    waiter.succeeds();
}

#[test]
fn a_long_wait_that_a_server_asks_for_is_said_at_once() {
    for after in ["3600", "Thu, 21 Nov 2199 08:59:41 GMT"] {
        let server = Scripted::new(move |head| {
            let header = format!("Retry-After: {after}\r\n");
            match &*head[0] {
                list if list.contains("list-type") => {
                    let refusal = String::from_utf8(refusal(503, "SlowDown")).unwrap();
                    refusal.replacen("\r\n", &format!("\r\n{header}"), 1).into()
                }
                _ => response(503, &header, "{}"),
            }
        });
        for (command, input) in commands(&server.url) {
            let mut waiter = Waiter::start(&command, &input);
            waiter.hears("503");
            waiter.hears("; retrying in 60 seconds");
            waiter.kill();
        }
    }
}

#[test]
fn kinto_may_ask_for_no_request_for_a_while() {
    let server = Scripted::new(|_| response(200, "Backoff: 3600\r\n", "{}"));
    let mut waiter = Waiter::start(&format!("kinto-export --server {}/v1", server.url), "");
    waiter.hears("the server asks for no request for ");
    waiter.kill();
}

/// Ten bytes a second, in time for every timeout between two of them.
#[test]
fn a_server_that_sends_drops_is_given_up() {
    let slow = format!("http://{}", server(HALF, " "));
    for (program, input) in [("s3-list", ""), ("bh-fetch", OBJECT)] {
        let args = [
            "--no-sign-request",
            "--read-timeout=2s",
            "--tries=1",
            "--endpoint-url",
        ];
        let mut tool = Tool::new(program).args(args).arg(&slow);
        if program == "s3-list" {
            tool = tool.arg("s3://b");
        }
        let run = tool.input(input).run().exits(69);
        run.says("waiting for s3://b/")
            .says("the server is too slow: ");
    }
}

#[test]
fn a_server_that_is_waited_for_is_named_after_two_seconds() {
    // Nobody listens there any more.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let address = address.unwrap();
    for command in [
        format!("bh-load --wait-for-servers --database postgres://me@{address}/b"),
        format!(
            "bh-load --wait-for-servers --database sqlite:b.db --elasticsearch http://{address}"
        ),
        format!(
            "s3-list --wait-for-servers --no-sign-request --endpoint-url http://{address} s3://b"
        ),
        format!("kinto-export --wait-for-servers --server http://{address}/v1"),
        format!("bh-export --wait-for-servers --database postgres://me@{address}/b"),
        format!(
            "bh-index --wait-for-servers --database postgres://me@{address}/b --elasticsearch \
             http://{address}"
        ),
    ] {
        let mut waiter = Waiter::start(&command, "");
        waiter.hears("; waiting until it is available again");
        assert!(
            waiter.said.contains(&address.to_string()),
            "{}",
            waiter.said
        );
        waiter.kill();
    }
}
