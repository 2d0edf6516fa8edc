//! A program whose input the test keeps open.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::process::Stdio;

use serde_json::Value;

use super::sample::ndjson;
use super::{Run, Started, Tool};

pub struct Fed {
    pub started: Started,
    input: PipeWriter,
    output: BufReader<PipeReader>,
}

impl Fed {
    pub fn new(tool: Tool) -> Self {
        let (stdin, input) = std::io::pipe().unwrap();
        let (output, stdout) = std::io::pipe().unwrap();
        Self {
            started: tool.start_with(Stdio::from(stdin), Stdio::from(stdout)),
            input,
            output: BufReader::new(output),
        }
    }

    pub fn give<'a>(&mut self, lines: impl IntoIterator<Item = &'a Value>) {
        self.input.write_all(&ndjson(lines)).unwrap();
    }

    /// Waits for the next line of output, as JSON.
    pub fn line(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    pub fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// Waits for the next line of output, as text; empty at the end.
    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    /// Waits until it exits, with its input open.
    pub fn wait(self) -> Run {
        let run = self.started.finish();
        drop(self.input);
        run
    }

    /// Closes its input and waits until it exits.
    pub fn finish(self) -> Run {
        drop(self.input);
        self.started.finish()
    }
}
