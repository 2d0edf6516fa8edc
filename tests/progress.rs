//! Progress on real terminals, and what others write there: none of it is ever erased.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::harness::tmux::{Tmux, programs_path};
use crate::harness::{folder, program, wait_for};

/// A named pipe whose reader is a pipeline in a terminal.
struct Source(File);

impl Source {
    fn open(path: &Path) -> Self {
        // Opened for reading too, so that it does not wait for its reader.
        Self(
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(path)
                .unwrap(),
        )
    }

    fn give(&mut self, numbers: std::ops::Range<usize>) {
        let line = |n| format!("{{\"key\":\"{n}/buildhub.json\"}}\n");
        self.0
            .write_all(numbers.map(line).collect::<Vec<_>>().concat().as_bytes())
            .unwrap();
    }
}

/// Makes a named pipe and returns its path.
fn fifo(tmux: &Tmux, name: &str) -> std::path::PathBuf {
    let path = tmux.path(name);
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    path
}

/// Whether it is a row of the block, with this count.
fn is_row(line: &str, records: usize) -> bool {
    let mut words = line.split_whitespace();
    line.starts_with("bh-filter ")
        && line.contains("/s")
        && words.nth(1) == Some(&records.to_string())
}

/// A pipeline in a terminal that reads a pipe, and shows its block.
fn begin(tmux: &Tmux, command: &str) -> Source {
    let path = fifo(tmux, "source");
    tmux.run(command);
    let mut source = Source::open(&path);
    source.give(0..1);
    wait_for_row(tmux, 1);
    source
}

#[track_caller]
fn wait_for_row(tmux: &Tmux, records: usize) {
    tmux.wait_until(&format!("a row with {records}"), |lines| {
        lines.iter().any(|line| is_row(line, records))
    });
}

#[track_caller]
fn no_row_is_left(tmux: &Tmux) {
    let lines = tmux.lines();
    let row = |line: &&String| line.starts_with("bh-") && line.contains("/s ");
    let rows: Vec<_> = lines.iter().filter(row).collect();
    assert!(rows.is_empty(), "{rows:#?} in:\n{}", lines.join("\n"));
    assert!(tmux.scrolls_whole(), "rows are still reserved");
}

/// Ends the input, and waits for the summary and the shell.
#[track_caller]
fn end(tmux: &Tmux, source: Source, records: usize) {
    drop(source);
    tmux.wait(&format!("bh-filter: {records} in = {records} out"));
    tmux.run("echo the e''nd");
    tmux.wait_until("the end", |lines| {
        lines.iter().any(|line| line == "the end")
    });
    no_row_is_left(tmux);
}

const PIPELINE: &str = "bh-filter --allow-drops <source | cat >/dev/null";

#[test]
fn lines_of_other_programs_are_never_erased() {
    let Some(tmux) = Tmux::start(80, 12) else {
        return;
    };
    let mut source = begin(&tmux, PIPELINE);
    let mut foreign = Vec::new();
    for n in 1..25 {
        foreign.push(format!("jq: error at line {n}"));
        tmux.write(&format!("jq: error at line {n}\n"));
        source.give(n..n + 1);
        wait_for_row(&tmux, n + 1);
    }
    tmux.shows(&foreign);
    end(&tmux, source, 25);
    tmux.shows(&foreign);
}

#[test]
fn a_partial_line_is_completed_where_it_stands() {
    for height in [8, 30] {
        let Some(tmux) = Tmux::start(80, height) else {
            return;
        };
        let path = fifo(&tmux, "source");
        // The shell has written the command.
        tmux.run(&format!("echo sta''rted; {PIPELINE}"));
        let mut source = Source::open(&path);
        tmux.wait("started");
        tmux.write("Password: ");
        source.give(0..1);
        wait_for_row(&tmux, 1);
        tmux.write("secret\n");
        let long = "x".repeat(79);
        tmux.write(&long);
        source.give(1..2);
        wait_for_row(&tmux, 2);
        tmux.write("yz\n");
        source.give(2..3);
        wait_for_row(&tmux, 3);
        end(&tmux, source, 3);
        tmux.shows(&["Password: secret".into(), long + "yz"]);
    }
}

#[test]
fn nothing_is_erased_when_the_terminal_is_resized() {
    let Some(tmux) = Tmux::start(120, 24) else {
        return;
    };
    let mut source = begin(&tmux, PIPELINE);
    let mut foreign = Vec::new();
    let sizes = [
        (50, 24),
        (150, 24),
        (70, 24),
        (70, 12),
        (70, 40),
        (60, 9),
        (100, 30),
    ];
    let mut n = 1;
    for (width, height) in sizes {
        for _ in 0..4 {
            foreign.push(format!("python: warning {n}"));
            tmux.write(&format!("python: warning {n}\n"));
            source.give(n..n + 1);
            wait_for_row(&tmux, n + 1);
            n += 1;
        }
        tmux.resize(width, height);
        source.give(n..n + 1);
        wait_for_row(&tmux, n + 1);
        n += 1;
    }
    tmux.shows(&foreign);
    end(&tmux, source, n);
    tmux.shows(&foreign);
}

#[test]
fn the_summaries_of_two_pipelines_stay() {
    let Some(tmux) = Tmux::start(80, 24) else {
        return;
    };
    let other = fifo(&tmux, "other");
    tmux.run("(bh-validate --allow-drops <other >/dev/null &)");
    let mut background = Source::open(&other);
    let mut source = begin(&tmux, PIPELINE);
    background.0.write_all(b"{}\n").unwrap();
    drop(background);
    tmux.wait("bh-validate: 1 in");
    for n in 1..6 {
        source.give(n..n + 1);
        wait_for_row(&tmux, n + 1);
    }
    tmux.wait("bh-validate: 1 in");
    end(&tmux, source, 6);
    tmux.wait("bh-validate: 1 in");
}

#[test]
fn a_second_pipeline_on_the_terminal_gets_plain_lines() {
    let Some(tmux) = Tmux::start(80, 24) else {
        return;
    };
    let mut source = begin(&tmux, PIPELINE);
    let other = fifo(&tmux, "other");
    // Its process group is not the one in front, as in the background.
    let tty = tmux.tty_path();
    let mut second = std::process::Command::new("bash")
        .args([
            "-c",
            "exec bh-validate --allow-drops --progress-interval 1 <other >/dev/null 2>\"$0\"",
        ])
        .arg(tty)
        .env("PATH", programs_path())
        .env("TERM", "xterm")
        .env("TMPDIR", tmux.path(""))
        .env_remove("XDG_RUNTIME_DIR")
        .current_dir(tmux.path(""))
        .spawn()
        .unwrap();
    let other = Source::open(&other);
    tmux.wait("bh-validate: progress: bh-validate 0 in");
    source.give(1..2);
    wait_for_row(&tmux, 2);
    drop(other);
    second.wait().unwrap();
    tmux.wait("bh-validate: 0 in");
    end(&tmux, source, 2);
    tmux.wait("bh-validate: progress: bh-validate 0 in");
    tmux.wait("bh-validate: 0 in");
}

#[test]
fn no_block_is_drawn_over_a_pager() {
    let Some(tmux) = Tmux::start(80, 24) else {
        return;
    };
    let path = fifo(&tmux, "source");
    tmux.run("bh-filter --progress-interval 1 <source | less");
    let mut source = Source::open(&path);
    source.give(0..100);
    tmux.wait("\"10/buildhub.json\"");
    // A block would have been drawn long before.
    wait_for("a plain line", || {
        let screen = tmux.screen();
        screen
            .iter()
            .any(|line| line.contains("progress: bh-filter"))
    });
    assert!(
        !tmux
            .screen()
            .iter()
            .any(|line| line.starts_with("bh-filter "))
    );
    assert!(tmux.scrolls_whole());
}

#[test]
fn the_shell_has_the_whole_terminal_while_a_job_is_stopped() {
    let Some(tmux) = Tmux::start(80, 12) else {
        return;
    };
    let mut source = begin(&tmux, PIPELINE);
    tmux.key("C-z");
    tmux.wait("Stopped");
    no_row_is_left(&tmux);
    tmux.run("seq 100 120");
    tmux.wait_until("120", |lines| lines.iter().any(|line| line == "120"));
    tmux.run("fg");
    source.give(1..2);
    wait_for_row(&tmux, 2);
    end(&tmux, source, 2);
    tmux.shows(&(100..=120).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn an_interrupted_job_leaves_the_whole_terminal() {
    let Some(tmux) = Tmux::start(80, 12) else {
        return;
    };
    let source = begin(&tmux, PIPELINE);
    tmux.write("ssh: a warning\n");
    tmux.key("C-c");
    tmux.wait("stopped by SIGINT");
    tmux.run("echo the e''nd");
    tmux.wait_until("the end", |lines| {
        lines.iter().any(|line| line == "the end")
    });
    tmux.shows(&["ssh: a warning".into()]);
    no_row_is_left(&tmux);
    drop(source);
}

#[test]
fn the_next_program_frees_the_rows_of_a_killed_one() {
    let Some(tmux) = Tmux::start(80, 12) else {
        return;
    };
    let source = begin(&tmux, PIPELINE);
    assert!(!tmux.scrolls_whole(), "no rows are reserved");
    tmux.run("");
    let kill = "for p in /proc/[0-9]*; do [ \"$(readlink $p/fd/0)\" = \"$PWD/source\" ] && kill -9 ${p#/proc/}; done";
    // From another terminal, so to speak.
    let killed = std::process::Command::new("bash")
        .args(["-c", kill])
        .current_dir(tmux.path(""))
        .status();
    drop(killed);
    tmux.run("seq 100 130");
    tmux.wait_until("130", |lines| lines.iter().any(|line| line == "130"));
    tmux.run("bh-filter --allow-drops </dev/null; echo the e''nd");
    tmux.wait_until("the end", |lines| {
        lines.iter().any(|line| line == "the end")
    });
    no_row_is_left(&tmux);
    tmux.shows(&(100..=130).map(|n| n.to_string()).collect::<Vec<_>>());
    drop(source);
}

#[test]
fn the_total_is_shown_once_the_stage_before_has_ended() {
    let Some(tmux) = Tmux::start(100, 24) else {
        return;
    };
    let path = fifo(&tmux, "source");
    let key = |n: usize| format!("{{\"key\":\"{n}/buildhub.json\"}}\n");
    let keys = (0..7).map(key).collect::<Vec<_>>().concat();
    std::fs::write(tmux.path("keys"), keys + "{\"key\":\"other\"}\n").unwrap();
    tmux.run(
        "bh-filter <keys | (for n in 1 2 3; do IFS= read -r line; echo \"$line\"; done; \
         cat source >/dev/null; cat) | bh-validate >/dev/null",
    );
    let source = Source::open(&path);
    tmux.wait("bh-validate ");
    tmux.wait(" of 7");
    tmux.wait(" rejected");
    drop(source);
    tmux.wait("bh-validate: 7 in");
}

#[test]
fn a_dumb_terminal_gets_plain_lines() {
    for term in ["dumb", ""] {
        let Some(tmux) = Tmux::start(80, 12) else {
            return;
        };
        let path = fifo(&tmux, "source");
        tmux.run(&format!(
            "TERM={term} bh-filter --progress-interval 1 <source >/dev/null"
        ));
        let mut source = Source::open(&path);
        source.give(0..3);
        tmux.wait("bh-filter: progress: bh-filter 3");
        end(&tmux, source, 3);
    }
}

#[test]
fn off_a_terminal_one_line_tells_of_the_whole_pipeline() {
    let dir = folder();
    let run = |flags: &str, until: &str| {
        let log = dir.path().join(format!("log{}", flags.len()));
        let (filter, validate) = (program("bh-filter"), program("bh-validate"));
        let script = format!(
            "set -m; (cat fifo | {} {flags} | {} {flags} >/dev/null) 2>{}",
            filter.display(),
            validate.display(),
            log.display(),
        );
        let fifo = dir.path().join("fifo");
        if !fifo.exists() {
            assert!(
                std::process::Command::new("mkfifo")
                    .arg(&fifo)
                    .status()
                    .unwrap()
                    .success()
            );
        }
        let mut bash = std::process::Command::new("bash");
        let mut running = bash
            .args(["-c", &script])
            .current_dir(dir.path())
            .spawn()
            .unwrap();
        let mut source = Source::open(&fifo);
        source.give(0..3);
        let text = || std::fs::read_to_string(&log).unwrap_or_default();
        wait_for(until, || text().contains(until));
        drop(source);
        running.wait().unwrap();
        text()
    };
    let text = run("--progress-interval 1", "bh-validate 3 ");
    let told: Vec<_> = text
        .lines()
        .filter(|line| line.contains(": progress: "))
        .collect();
    let both = |line: &&&str| line.contains("bh-filter 3") && line.contains("bh-validate 3");
    assert!(told.iter().any(|line| both(&line)), "{text}");
    let speakers: std::collections::BTreeSet<_> = told
        .iter()
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(speakers.len(), 1, "{text}");
    let text = run("--progress-interval 1 --progress never", "bad_line");
    assert!(!text.contains("progress"), "{text}");
}
