//! Runs programs and pipelines; failed assertions show all their output.

pub mod archive;
pub mod backfill;
pub mod busy;
pub mod elastic;
pub mod faulty;
pub mod fed;
pub mod hold;
pub mod http;
pub mod kinto;
pub mod ledger;
pub mod minio;
pub mod pgbouncer;
pub mod postgres;
pub mod protocol;
pub mod proxy;
pub mod python;
pub mod queue;
pub mod relay;
pub mod sample;
pub mod scripted;
pub mod spoiled;
pub mod stored;
pub mod tmux;
pub mod units;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::thread::JoinHandle;

use regex::Regex;
use serde_json::Value;

use self::relay::Relay;

/// Makes a temporary folder.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Reports that a test is skipped because `what` is missing; under
/// BUILDHUB_PIPES_REQUIRE_SERVERS the test fails.
pub fn left_out(what: &str) {
    assert!(
        std::env::var_os("BUILDHUB_PIPES_REQUIRE_SERVERS").is_none(),
        "no {what} to test with"
    );
    eprintln!("left out: no {what} to test with");
}

pub fn program(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_s3-list")).parent().unwrap();
    folder.join(name)
}

/// The variables that a program inherits: where to find programs, where to
/// put temporary files, and a terminal's name for the tests that open one.
fn inherited() -> impl Iterator<Item = (&'static str, OsString)> {
    let names = ["PATH", "TERM", "TMPDIR"].into_iter();
    names.filter_map(|name| Some((name, std::env::var_os(name)?)))
}

/// A program with its arguments. It inherits nothing of the caller's
/// configuration.
pub struct Tool {
    command: Command,
    input: Vec<u8>,
    summary: tempfile::TempDir,
}

/// The exit status and the output of a program.
#[derive(Debug)]
pub struct Run {
    pub what: String,
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    /// Standard error, without the dates.
    pub stderr: String,
    /// Standard error as it came.
    pub dated: String,
    /// The summary, if it was written.
    pub summary: Value,
}

impl Tool {
    pub fn new(name: &str) -> Self {
        let tool = Self::plain(name);
        let summary = tool.summary_path();
        tool.arg("--summary").arg(summary)
    }

    /// Makes a tool without --summary: its only flags are those of the test.
    pub fn plain(name: &str) -> Self {
        let summary = folder();
        let mut command = Command::new(program(name));
        command
            .env_clear()
            .envs(inherited())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .current_dir(summary.path());
        Self {
            command,
            input: Vec::new(),
            summary,
        }
    }

    /// Returns the path of the summary; the file exists once the program runs.
    pub fn summary_path(&self) -> PathBuf {
        self.summary.path().join("summary.json")
    }

    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.command.arg(arg.into());
        self
    }

    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    pub fn folder(mut self, path: &Path) -> Self {
        self.command.current_dir(path);
        self
    }

    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Runs the program by `command`, such as strace.
    pub fn under<A: Into<OsString>>(mut self, command: impl IntoIterator<Item = A>) -> Self {
        let mut words = command.into_iter().map(Into::into);
        let mut outer = Command::new(words.next().unwrap());
        let inner = &self.command;
        outer
            .env_clear()
            .envs(inherited())
            .args(words)
            .arg(inner.get_program())
            .args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => outer.env(name, value),
                None => outer.env_remove(name),
            };
        }
        outer.current_dir(inner.get_current_dir().unwrap());
        self.command = outer;
        self
    }

    /// Runs the program as a user whose rights are looked at: root may do anything.
    pub fn unprivileged(self) -> Self {
        if !rustix::process::geteuid().is_root() {
            return self;
        }
        self.under([
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ])
    }

    /// Runs to the end, with the input on standard input.
    pub fn run(mut self) -> Run {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped());
        self.start().finish()
    }

    /// Starts with the given standard streams instead of the input.
    pub fn start_with(mut self, stdin: Stdio, stdout: Stdio) -> Started {
        self.command.stdin(stdin).stdout(stdout);
        self.input = Vec::new();
        self.start()
    }

    fn start(mut self) -> Started {
        let what = format!("{:?}", self.command);
        let mut child = self
            .command
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let writer = child.stdin.take().map(|mut stdin| {
            let input = std::mem::take(&mut self.input);
            // A program may exit before it has read all input.
            std::thread::spawn(move || drop(stdin.write_all(&input)))
        });
        let stdout = child.stdout.take().map(reader);
        let stderr = child.stderr.take().map(reader);
        Started {
            what,
            child,
            writer,
            stdout,
            stderr,
            summary: self.summary,
        }
    }
}

/// Returns messages without the dates before them.
pub fn undated(text: &str) -> String {
    static DATE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ").unwrap());
    DATE.replace_all(text, "").into_owned()
}

fn reader(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// A running program.
pub struct Started {
    what: String,
    pub child: Child,
    writer: Option<JoinHandle<()>>,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    summary: tempfile::TempDir,
}

impl Started {
    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
    }

    pub fn finish(mut self) -> Run {
        let status = self.child.wait().unwrap();
        if let Some(writer) = self.writer {
            writer.join().unwrap();
        }
        let collect =
            |from: Option<JoinHandle<Vec<u8>>>| from.map_or_else(Vec::new, |f| f.join().unwrap());
        let text = std::fs::read(self.summary.path().join("summary.json"));
        let dated = String::from_utf8(collect(self.stderr)).unwrap();
        let run = Run {
            what: self.what,
            status,
            stdout: collect(self.stdout),
            stderr: undated(&dated),
            dated,
            // The file is created at the start and written at the end.
            summary: match text {
                Ok(text) if !text.is_empty() => serde_json::from_slice(&text).unwrap(),
                _ => Value::Null,
            },
        };
        let hostile = run.stderr.chars().find(|c| *c != '\n' && steers(*c));
        assert_eq!(hostile, None, "{run}");
        if matches!(status.code(), Some(0 | 65)) && !run.summary.is_null() {
            assert_eq!(run.summary["adds_up"], true, "{run}");
        }
        run
    }
}

/// Returns whether `c` would break a line of a log, or steer a terminal.
fn steers(c: char) -> bool {
    let bidirectional = ['\u{61c}', '\u{200e}', '\u{200f}'];
    c.is_control()
        || bidirectional.contains(&c)
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}\n{}", self.what, self.status)?;
        let out = String::from_utf8_lossy(&self.stdout);
        let shown: String = out.chars().take(4000).collect();
        writeln!(f, "--- stdout\n{shown}--- stderr\n{}", self.stderr)
    }
}

/// The first words of messages that are only written if a step takes long;
/// `tests/layers.rs` compares them with the programs.
pub const NOTICES: &[&str] = &[
    "asking ",
    "connecting to ",
    "getting s3://",
    "listing s3://",
    "promoting ",
    "reading the ",
    "waiting for ",
];

impl Run {
    /// Asserts the exit status.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self}");
        self
    }

    #[track_caller]
    pub fn dies_by(self, signal: i32) -> Self {
        assert_eq!(self.status.signal(), Some(signal), "{self}");
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "{text:?} is not said: {self}");
        self
    }

    /// Asserts that standard error is empty.
    #[track_caller]
    pub fn silent(self) -> Self {
        assert_eq!(self.stderr, "", "{self}");
        self
    }

    /// Asserts that standard output is empty, but for the begin of a run.
    #[track_caller]
    pub fn prints_nothing(self) -> Self {
        let mut lines = self.stdout.split_inclusive(|byte| *byte == b'\n');
        let begins = |line: &[u8]| line.starts_with(b"{\"mark\":{\"begin\":");
        assert!(lines.all(begins), "{self}");
        self
    }

    /// Returns the lines of standard error, without the time at the end of the
    /// summary, and without messages about slow steps.
    pub fn told(&self) -> Vec<&str> {
        let lines = self.stderr.lines().filter(|line| {
            let message = line.split_once(": ").map_or("", |(_, message)| message);
            !NOTICES.iter().any(|text| message.starts_with(text))
        });
        let untimed = |line: &'_ str| match line.rsplit_once("; ") {
            Some((rest, time)) if time.ends_with(" s") => rest.len(),
            _ => line.len(),
        };
        lines.map(|line| &line[..untimed(line)]).collect()
    }

    /// Returns standard output as lines of JSON.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        lines(&self.stdout)
    }

    /// Returns standard output without the marks.
    #[track_caller]
    pub fn records(&self) -> Vec<Value> {
        let mut lines = self.lines();
        lines.retain(|line| line.get("mark").is_none());
        lines
    }

    /// Returns a count of the summary, such as "/dropped/known"; 0 if it is
    /// missing.
    pub fn count(&self, pointer: &str) -> u64 {
        self.summary
            .pointer(pointer)
            .and_then(Value::as_u64)
            .unwrap_or(0)
    }
}

/// Parses lines of JSON.
#[track_caller]
pub fn lines(bytes: &[u8]) -> Vec<Value> {
    protocol::read(bytes)
}

/// Parses the lines of a file; none if the file does not exist.
#[track_caller]
pub fn lines_of(path: &Path) -> Vec<Value> {
    std::fs::read(path).map_or_else(|_| Vec::new(), |bytes| lines(&bytes))
}

/// Starts programs joined by pipes; the output of the last one is kept.
pub fn start_pipeline(tools: Vec<Tool>) -> Vec<Started> {
    start_pipeline_through(tools, None).0
}

/// Does the same with a relay after program `relay.0`, which passes `relay.1`
/// bytes.
pub fn start_pipeline_through(
    tools: Vec<Tool>,
    relay: Option<(usize, usize)>,
) -> (Vec<Started>, Option<Relay>) {
    let mut stdin = Stdio::null();
    let mut between = None;
    let last = tools.len() - 1;
    let mut started = Vec::new();
    for (at, mut tool) in tools.into_iter().enumerate() {
        tool.command.stdin(stdin).stdout(Stdio::piped());
        tool.input = Vec::new();
        let mut running = if at == last {
            stdin = Stdio::null();
            tool.start()
        } else {
            let what = format!("{:?}", tool.command);
            let mut child = tool.command.stderr(Stdio::piped()).spawn().unwrap();
            let stdout = child.stdout.take().unwrap();
            stdin = match relay {
                Some((behind, bytes)) if behind == at => {
                    let (reader, writer) = std::io::pipe().unwrap();
                    between = Some(Relay::start(stdout, writer, bytes));
                    reader.into()
                }
                _ => stdout.into(),
            };
            Started {
                what,
                stderr: child.stderr.take().map(reader),
                child,
                writer: None,
                stdout: None,
                summary: tool.summary,
            }
        };
        running.writer = None;
        started.push(running);
    }
    (started, between)
}

/// Runs programs joined by pipes until all exit.
pub fn pipeline(tools: Vec<Tool>) -> Vec<Run> {
    start_pipeline(tools)
        .into_iter()
        .map(Started::finish)
        .collect()
}

/// Waits until `there` returns true; fails after a minute.
#[track_caller]
pub fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !there() {
        assert!(begun.elapsed().as_secs() < 60, "waited too long for {what}");
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
}
