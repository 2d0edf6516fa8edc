//! A program that is spoken to line by line while it runs.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};

use super::{Run, Started, Tool};

pub struct Talk {
    pub running: Started,
    input: PipeWriter,
    output: BufReader<PipeReader>,
}

impl Talk {
    pub fn start(tool: Tool) -> Self {
        let (stdin, input) = std::io::pipe().unwrap();
        let (output, stdout) = std::io::pipe().unwrap();
        Self {
            running: tool.start_with(stdin.into(), stdout.into()),
            input,
            output: BufReader::new(output),
        }
    }

    pub fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// The next line, without its newline; empty at the end.
    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    /// Ends the input, and waits for the end.
    pub fn end(self) -> Run {
        drop(self.input);
        self.running.finish()
    }

    /// The input stays open until the program has ended by itself.
    pub fn wait(self) -> Run {
        let run = self.running.finish();
        drop(self.input);
        run
    }
}
