//! A real terminal: a shell in tmux, whose screen and scrollback a test reads.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{folder, left_out, program, wait_for};

/// The shell's prompt.
const PROMPT: &str = "ready> ";

pub struct Tmux {
    dir: tempfile::TempDir,
    /// The terminal, for what other programs write there.
    tty: File,
}

impl Tmux {
    /// Starts a shell in a terminal of `width` and `height`; `None` without tmux.
    pub fn start(width: u16, height: u16) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            left_out("tmux");
            return None;
        }
        let dir = folder();
        let config = dir.path().join("tmux.conf");
        let settings = "set -g history-limit 50000\nset -g status off\nset -g escape-time 0\n";
        std::fs::write(&config, settings).unwrap();
        let started = Command::new("tmux")
            .env_clear()
            .env("PATH", programs_path())
            .env("PS1", PROMPT)
            .env("TMPDIR", dir.path())
            .env("LC_ALL", "C.UTF-8")
            .arg("-S")
            .arg(dir.path().join("socket"))
            .arg("-f")
            .arg(&config)
            .args(["new-session", "-d", "-x", &width.to_string()])
            .args(["-y", &height.to_string()])
            .args(["bash", "--norc", "--noprofile", "-i"])
            .current_dir(dir.path())
            .status();
        assert!(started.unwrap().success());
        let tty = ask(dir.path(), &["display", "-p", "#{pane_tty}"]);
        let tty = OpenOptions::new().write(true).open(tty.trim()).unwrap();
        let tmux = Self { dir, tty };
        tmux.wait(PROMPT.trim());
        Some(tmux)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns the path of the terminal.
    pub fn tty_path(&self) -> String {
        self.ask(&["display", "-p", "#{pane_tty}"])
            .trim()
            .to_owned()
    }

    fn ask(&self, args: &[&str]) -> String {
        ask(self.dir.path(), args)
    }

    /// Types a command line.
    pub fn run(&self, line: &str) {
        self.ask(&["send-keys", "-l", line]);
        self.key("Enter");
    }

    pub fn key(&self, key: &str) {
        self.ask(&["send-keys", key]);
    }

    /// Writes to the terminal, as another program does.
    pub fn write(&self, text: &str) {
        (&self.tty).write_all(text.as_bytes()).unwrap();
    }

    pub fn resize(&self, width: u16, height: u16) {
        let (width, height) = (width.to_string(), height.to_string());
        self.ask(&["resize-window", "-x", &width, "-y", &height]);
    }

    /// Returns the lines of the scrollback and the screen.
    pub fn lines(&self) -> Vec<String> {
        let text = self.ask(&["capture-pane", "-p", "-J", "-S", "-"]);
        text.lines()
            .map(|line| line.trim_end().to_owned())
            .collect()
    }

    /// Returns the lines of the screen.
    pub fn screen(&self) -> Vec<String> {
        let text = self.ask(&["capture-pane", "-p"]);
        text.lines()
            .map(|line| line.trim_end().to_owned())
            .collect()
    }

    /// Returns the last row that a full scroll moves; the bottom row unless rows are reserved.
    pub fn scrolls_whole(&self) -> bool {
        let format = "#{scroll_region_upper} #{scroll_region_lower} #{pane_height}";
        let region = self.ask(&["display", "-p", format]);
        let region: Vec<u32> = region
            .split_whitespace()
            .map(|n| n.parse().unwrap())
            .collect();
        region[0] == 0 && region[1] + 1 == region[2]
    }

    /// Waits until a line of the scrollback or the screen holds `text`.
    #[track_caller]
    pub fn wait(&self, text: &str) {
        self.wait_until(text, |lines| lines.iter().any(|line| line.contains(text)));
    }

    /// Waits until the lines are as `there` wants them; else shows them.
    #[track_caller]
    pub fn wait_until(&self, what: &str, there: impl Fn(&[String]) -> bool) {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for(what, || there(&self.lines()));
        }));
        assert!(done.is_ok(), "no {what} in:\n{}", self.lines().join("\n"));
    }

    /// Asserts that each of `texts` is a line of its own, in this order.
    #[track_caller]
    pub fn shows(&self, texts: &[String]) {
        let lines = self.lines();
        let mut rest = lines.iter();
        for text in texts {
            assert!(
                rest.any(|line| line == text),
                "{text:?} is missing in:\n{}",
                lines.join("\n")
            );
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.ask(&["kill-server"]);
    }
}

/// Returns a PATH with the programs.
pub fn programs_path() -> String {
    let path = std::env::var("PATH").unwrap();
    format!(
        "{}:{path}",
        program("bh-filter").parent().unwrap().display()
    )
}

fn ask(dir: &Path, args: &[&str]) -> String {
    let mut tmux = Command::new("tmux");
    let output = tmux.arg("-S").arg(dir.join("socket")).args(args).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}
