//! s3-list: its state, and how it resumes.

mod damaged;
mod decisions;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::{fails, list, numbered, server_of, tiles};
use crate::harness::faulty::Faulty;
use crate::harness::hold::Hold;
use crate::harness::kinto::{StandIn, answer};
use crate::harness::protocol::{self, listing};
use crate::harness::proxy::{Point, Proxy, Trap};
use crate::harness::scripted::{Scripted, response};
use crate::harness::{Run, Tool, folder, pipeline, wait_for};

/// The resume file, declared once more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are members of the file"
)]
struct State {
    format: u32,
    run: String,
    source: Source,
    started: String,
    records: u64,
    pages: u64,
    finished: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    closed: bool,
    broken_pipe: bool,
    piped: bool,
    coverage: Vec<Part>,
    sample: Vec<(String, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<Last>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    run: String,
    started: String,
    sample: Vec<(String, u64)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    endpoint: Option<String>,
    bucket: String,
    prefix: String,
    after: Option<String>,
    through: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    after: Option<String>,
    through: Option<String>,
}

impl Part {
    fn holds(&self, key: &str) -> bool {
        self.after.as_deref().is_none_or(|after| after < key)
            && self.through.as_deref().is_none_or(|through| key <= through)
    }
}

impl From<protocol::Part> for Part {
    fn from(part: protocol::Part) -> Self {
        Self {
            after: part.after,
            through: part.through,
        }
    }
}

impl State {
    fn covers(&self, key: &str) -> bool {
        self.coverage.iter().any(|part| part.holds(key))
    }
}

/// The file of the loader beside it.
#[derive(Debug, Clone, Serialize)]
struct Loaded {
    format: u32,
    run: Option<String>,
    coverage: Vec<Part>,
}

/// Returns an interval; `""` is the start or the end.
fn part((after, through): (&str, &str)) -> Part {
    let bound = |key: &str| (!key.is_empty()).then(|| key.to_owned());
    Part {
        after: bound(after),
        through: bound(through),
    }
}

/// A resume file in a folder of its own.
struct Place {
    folder: TempDir,
    file: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = folder();
        let file = folder.path().join("list.json");
        Self { folder, file }
    }

    fn tool(&self, server: &Faulty) -> Tool {
        list(server).arg("--resume-file").arg(&self.file)
    }

    fn resume(&self, server: &Faulty) -> Tool {
        self.tool(server).arg("--resume")
    }

    fn loaded(&self) -> PathBuf {
        self.folder.path().join("list.json.loaded")
    }

    #[track_caller]
    fn state(&self) -> State {
        let text = std::fs::read_to_string(&self.file).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The state of a run over k00000 to k00009 that came through k00004.
    fn half(&self, server: &Faulty, change: impl FnOnce(&mut State)) -> State {
        self.tool(server).run().exits(0);
        let mut state = self.state();
        state.finished = false;
        state.coverage = vec![part(("", "k00004"))];
        change(&mut state);
        write(&self.file, &state);
        state
    }

    #[track_caller]
    fn holds_only(&self, files: &[&str]) {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, files);
    }
}

fn write(path: &Path, state: &impl Serialize) {
    std::fs::write(path, serde_json::to_string(state).unwrap() + "\n").unwrap();
}

#[test]
fn the_state_is_saved_after_each_page() {
    // More than a pipe holds: without a reader it cannot finish.
    let keys = numbered(20_000);
    let (server, place) = (server_of(&keys, &[]), Place::new());
    let (mut reader, stdout) = std::io::pipe().unwrap();
    let tool = place.tool(&server).args(["--concurrency", "1"]);
    let running = tool.start_with(Stdio::null(), stdout.into());
    let mut seen = Vec::new();
    wait_for("three pages", || {
        if place.file.exists() {
            seen.push(place.state());
        }
        seen.last().is_some_and(|state| state.pages >= 3)
    });
    let mut written = Vec::new();
    reader.read_to_end(&mut written).unwrap();
    running.finish().exits(0);
    let listed = listing(&written);
    assert_eq!(listed.keys(), keys);
    tiles(&listed, None, None);
    for state in seen.iter().filter(|state| state.pages > 0) {
        let reached = keys[usize::try_from(state.records).unwrap() - 1].clone();
        assert_eq!(state.coverage, [part(("", &reached))]);
        assert!(!state.finished && !state.broken_pipe && state.records == 1000 * state.pages);
    }
    let state = place.state();
    assert_eq!((state.format, state.records, state.pages), (2, 20_000, 20));
    assert_eq!(state.run, listed.end.unwrap().0);
    assert_eq!(
        (state.finished, state.coverage),
        (true, vec![part(("", ""))])
    );
    assert!(
        state.started.parse::<jiff::Timestamp>().is_ok(),
        "{}",
        state.started
    );
    let source = Source {
        endpoint: Some(server.url.clone()),
        bucket: "bench".into(),
        prefix: String::new(),
        after: None,
        through: None,
    };
    assert_eq!(state.source, source);
    place.holds_only(&["list.json", "list.json.lock"]);
}

#[test]
fn without_resume_or_a_file_a_new_run_starts() {
    let keys = numbered(10);
    let (server, place) = (server_of(&keys, &[]), Place::new());
    let run = place
        .resume(&server)
        .run()
        .exits(0)
        .says("starting a new run");
    tiles(&run.listing(), None, None);
    let before = place.half(&server, |_| {});
    let run = place.tool(&server).run().exits(0);
    let run = run.says(
        "is abandoned (10 records listed; its listing was not finished): starting over; to \
         continue a run, use --resume",
    );
    assert_eq!(run.listing().sorted(), keys);
    assert!(place.state().run != before.run, "{run}");
    // A relative name is in the current folder.
    let tool = list(&server).args(["--resume-file", "here.json"]);
    tool.folder(place.folder.path()).run().exits(0);
    place.holds_only(&["here.json", "here.json.lock", "list.json", "list.json.lock"]);
}

#[test]
fn the_state_of_another_listing_is_refused_and_kept() {
    let keys = numbered(10);
    let (server, place) = (server_of(&keys, &[]), Place::new());
    place.half(&server, |_| {});
    let before = std::fs::read(&place.file).unwrap();
    let other = server_of(&keys, &[]);
    let with = |server: &Faulty, url: &str, args: &[&str]| -> Tool {
        let tool = server.tool("s3-list").arg(url).args(args.iter().copied());
        tool.arg("--resume-file").arg(&place.file)
    };
    let tools = || {
        [
            with(&server, "s3://other", &[]),
            with(&server, "s3://bench/k", &[]),
            with(&other, "s3://bench", &[]),
            with(&server, "s3://bench", &["--after", "k00001"]),
            with(&server, "s3://bench", &["--through", "k00001"]),
        ]
    };
    let name = place.file.display().to_string();
    for tool in tools()
        .into_iter()
        .chain(tools().map(|tool| tool.arg("--resume")))
    {
        fails(tool.run(), 78, &[&name, "s3://bench/ at", &server.url]);
        assert_eq!(std::fs::read(&place.file).unwrap(), before);
    }
    place
        .resume(&server)
        .args(["--page-size", "2"])
        .run()
        .exits(0);
}

/// In the run before, the loader was killed before it had a file; that listing
/// did not reach it.
#[test]
fn resume_waits_for_a_loader_that_starts_with_the_listing() {
    let (server, place) = (server_of(&numbered(10), &[]), Place::new());
    place.half(&server, |_| {});
    assert!(!place.loaded().exists());
    let load = Tool::new("bh-load")
        .arg("--marks")
        .arg("--resume-file")
        .arg(&place.file);
    let list = place.resume(&server);
    // The loader starts after the lister, which opens its summary at its start.
    let later = format!(
        "until [ -e '{}' ]; do :; done; exec \"$@\"",
        list.summary_path().display()
    );
    let load = load.under(["sh", "-c", &later, "sh"]);
    let load = load.args(["--database", "sqlite:b.db"]);
    let load = load.folder(place.folder.path());
    let mut runs = pipeline(vec![list, load]);
    let listed = runs.remove(0).exits(0);
    let listed = listed.says("restarts: the loader has confirmed nothing of this run");
    assert_eq!(listed.count("/out"), 10, "{listed}");
}

/// The loader starts after the listing has ended, and neither knows that a
/// part of the run was in a pipe when all were killed.
#[test]
fn records_that_no_loader_confirmed_are_reported() {
    let (server, place) = (server_of(&numbered(10), &[]), Place::new());
    place.half(&server, |_| {});
    let load = |resumes: bool| {
        let load = Tool::new("bh-load")
            .arg("--marks")
            .args(["--database", "sqlite:b.db"]);
        let load = if resumes {
            load.arg("--resume-file").arg(&place.file)
        } else {
            load
        };
        let late = "cat > lines; exec \"$@\" < lines";
        load.under(["sh", "-c", late, "sh"])
            .folder(place.folder.path())
    };
    let run = |load| {
        let mut runs = pipeline(vec![place.resume(&server), load]);
        (runs.remove(0).exits(0), runs.remove(0))
    };
    let half = || std::fs::read(&place.file).unwrap();
    let before = half();
    let (listed, loaded) = run(load(true));
    let listed = listed.says("resumes after what was listed");
    assert_eq!(listed.count("/out"), 5, "{listed}");
    loaded
        .exits(75)
        .says("after 10 records that no loader has confirmed: run the pipeline again");
    let (listed, loaded) = run(load(true));
    assert_eq!(listed.count("/out"), 10, "{listed}");
    loaded.exits(65);

    // The same with a loader that confirms nothing.
    std::fs::remove_file(place.loaded()).unwrap();
    std::fs::write(&place.file, &before).unwrap();
    let (listed, loaded) = run(load(false));
    listed.says("10 records written before and never confirmed by bh-load");
    loaded
        .exits(75)
        .says("after 10 records that no loader has confirmed");

    // With --checkpoint listed, the user knows where the listing went.
    std::fs::write(&place.file, &before).unwrap();
    let asked = place.resume(&server).args(["--checkpoint", "listed"]);
    let mut runs = pipeline(vec![asked, load(true)]);
    drop(runs.remove(0).exits(0));
    let loaded = runs.remove(0).exits(65);
    assert!(!loaded.stderr.contains("no loader"), "{loaded}");
}

/// A shell may join programs by sockets.
#[test]
fn a_socket_counts_as_a_pipe() {
    let (server, place) = (server_of(&numbered(10), &[]), Place::new());
    place.half(&server, |_| {});
    let (mut reader, stdout) = std::os::unix::net::UnixStream::pair().unwrap();
    let stdout = std::os::fd::OwnedFd::from(stdout);
    let running = place
        .resume(&server)
        .start_with(Stdio::null(), stdout.into());
    running
        .finish()
        .exits(0)
        .says("10 records written before and never confirmed by bh-load");
    let mut lines = String::new();
    reader.read_to_string(&mut lines).unwrap();
    assert!(lines.contains("\"unconfirmed\":10}"), "{lines}");
}

/// The shell has truncated the output file.
#[test]
fn an_emptied_output_file_is_reported() {
    let (server, place) = (server_of(&numbered(10), &[]), Place::new());
    let output = place.folder.path().join("keys");
    for (text, told) in [("", true), ("{}\n", false)] {
        place.half(&server, |state| state.piped = false);
        std::fs::write(&output, text).unwrap();
        let file = std::fs::File::options().append(true).open(&output).unwrap();
        let run = place.resume(&server).start_with(Stdio::null(), file.into());
        let run = run.finish().exits(0);
        let warned = run.stderr.contains("standard output is an empty file");
        assert_eq!(warned, told, "{run}");
    }
    // What went into a pipe is not in any file.
    place.half(&server, |_| {});
    let file = std::fs::File::options().append(true).open(&output).unwrap();
    let run = place.resume(&server).start_with(Stdio::null(), file.into());
    run.finish()
        .exits(0)
        .says("10 records written before and never confirmed by bh-load");
}

/// kinto-load has no state of its own: what a file lacks, only the source knows.
#[test]
fn a_file_without_the_first_part_of_its_run_is_not_whole() {
    let (server, place) = (server_of(&numbered(10), &[]), Place::new());
    let first = place.tool(&server).run().exits(0).stdout;
    let text = String::from_utf8(first).unwrap();
    let (first, _) = text.split_once("{\"mark\":{\"end\"").unwrap();
    let mut state = place.state();
    (state.finished, state.piped) = (false, false);
    state.coverage = vec![part(("", "k00004"))];
    write(&place.file, &state);
    let second = place.folder.path().join("keys");
    let file = std::fs::File::create(&second).unwrap();
    let run = place.resume(&server).start_with(Stdio::null(), file.into());
    run.finish().exits(0);
    let rest = std::fs::read_to_string(&second).unwrap();
    let kinto = r#"{"project_name":"kinto","settings":{"batch_max_requests":25}}"#;
    let kinto = Scripted::new(move |_| response(200, "", kinto));
    let load = |input: String| {
        let tool = Tool::new("kinto-load").args(["--server", &format!("{}/v1", kinto.url)]);
        tool.args(["--rejects", "/dev/null"]).input(input).run()
    };
    load(rest.clone())
        .exits(75)
        .says("after 10 records that no loader has confirmed");
    // Both parts, one after the other.
    let run = load([first, &*rest].concat());
    assert!(!run.stderr.contains("no loader has confirmed"), "{run}");
    run.exits(65);
}

#[test]
fn the_state_of_another_program_is_recognised() {
    let (server, place) = (server_of(&numbered(10), &[]), Place::new());
    let kinto = StandIn::new(|_, asked| Some(answer(3, asked)));
    let export = Tool::new("kinto-export").args(["--server", &kinto.url, "--resume-file"]);
    export.arg(&place.file).run().exits(0);
    let whole = std::fs::read(&place.file).unwrap();
    let show = Tool::new("s3-list").arg("--show-state").arg(&place.file);
    for tool in [place.resume(&server), show] {
        let told = tool
            .run()
            .exits(78)
            .says("belongs to a run of another program");
        assert!(!told.stderr.contains("delete"), "{told}");
        assert_eq!(std::fs::read(&place.file).unwrap(), whole);
    }
}

#[test]
fn a_damaged_state_stops_the_run_and_is_named() {
    let (server, place) = (server_of(&numbered(10), &[]), Place::new());
    let state = place.half(&server, |_| {});
    let whole = std::fs::read(&place.file).unwrap();
    let text = String::from_utf8(whole.clone()).unwrap();
    // Every byte is needed, except the newline.
    let cuts = (0..whole.len() - 1).map(|length| whole[..length].to_vec());
    let mut damaged: Vec<Vec<u8>> = cuts.collect();
    damaged.push(vec![0; whole.len()]);
    damaged.push(text.replace("\"format\":2", "\"format\":3").into());
    damaged.push(text.replace("\"coverage\"", "\"covered\"").into());
    damaged.push([&*whole, b"}"].concat());
    let name = place.file.display().to_string();
    for bytes in &damaged {
        std::fs::write(&place.file, bytes).unwrap();
        for tool in [place.tool(&server), place.resume(&server)] {
            fails(tool.run(), 78, &[&format!("s3-list: {name}: ")]);
            assert_eq!(&std::fs::read(&place.file).unwrap(), bytes);
        }
    }
    // The same for the file of the loader.
    write(&place.file, &state);
    let loaded = Loaded {
        format: 1,
        run: Some(state.run),
        coverage: Vec::new(),
    };
    let text = serde_json::to_string(&loaded).unwrap() + "\n";
    let mut damaged = vec![text.replace(":1", ":3")];
    damaged.extend((0..text.len() - 1).map(|length| text[..length].to_owned()));
    for bytes in damaged {
        std::fs::write(place.loaded(), bytes).unwrap();
        fails(
            place.resume(&server).run(),
            78,
            &[&format!("s3-list: {name}.loaded: ")],
        );
        assert_eq!(std::fs::read(&place.file).unwrap(), whole);
    }
    std::fs::write(&place.file, &whole[..whole.len() - 1]).unwrap();
    std::fs::write(place.loaded(), text.trim_end()).unwrap();
    let run = place.resume(&server).run().exits(0);
    run.says("resumes after what the loader has confirmed");
}

/// Holds the first request to the server, which is reached by a proxy from now on.
fn hold_first_request(server: &mut Faulty) -> Arc<Hold> {
    let proxy = Proxy::new(&server.url);
    server.url.clone_from(&proxy.url);
    proxy.set(Trap {
        text: "list-type=2",
        nth: 1,
        point: Point::Asked,
    })
}

#[test]
fn two_runs_never_share_a_state() {
    let (mut server, place) = (server_of(&numbered(10), &[]), Place::new());
    let hold = hold_first_request(&mut server);
    let first = place.tool(&server).args(["--concurrency", "1"]);
    let first = first.start_with(Stdio::null(), Stdio::piped());
    wait_for("a request", || hold.is_held());
    let before = place.state();
    for tool in [place.tool(&server), place.resume(&server)] {
        fails(
            tool.run(),
            75,
            &[&place.file.display().to_string(), "in use by another run"],
        );
    }
    assert_eq!(place.state(), before);
    first.signal(Signal::TERM);
    let run = first.finish().dies_by(Signal::TERM.as_raw());
    assert!(
        !run.stderr.contains("to resume"),
        "nothing was listed: {run}"
    );
    // The lock ended with the program.
    let calm = server_of(&[], &[]);
    fails(place.resume(&calm).run(), 78, &["another listing"]);
}

#[test]
fn a_link_is_kept_and_its_target_is_locked() {
    let (mut server, place) = (server_of(&numbered(10), &[]), Place::new());
    let folder = folder();
    let link = folder.path().join("link.json");
    // The target does not exist yet.
    std::os::unix::fs::symlink(&place.file, &link).unwrap();
    let tool = |server: &Faulty| list(server).arg("--resume-file").arg(&link);
    let hold = hold_first_request(&mut server);
    // One request at a time: the one that is held must be the listing's page, for a
    // run does not wait for the answer of a probe.
    let first = tool(&server).args(["--concurrency", "1"]);
    let first = first.start_with(Stdio::null(), Stdio::piped());
    wait_for("a request", || hold.is_held());
    for (tool, name) in [(tool(&server), &link), (place.tool(&server), &place.file)] {
        let name = format!("s3-list: {}: in use by another run", name.display());
        fails(tool.run(), 75, &[&name]);
    }
    first.signal(Signal::KILL);
    first.finish().dies_by(Signal::KILL.as_raw());
    let run = tool(&server).arg("--resume").run().exits(0);
    assert_eq!(run.listing().sorted(), numbered(10));
    assert_eq!(link.read_link().unwrap(), place.file);
    assert!(place.state().finished);
    place.holds_only(&["list.json", "list.json.lock"]);
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
}

#[test]
fn files_of_a_killed_run_do_not_stop_the_next() {
    let (server, place) = (server_of(&numbered(10), &[]), Place::new());
    for (name, text) in [("list.json.lock", ""), ("list.json.tmp", "{\"form")] {
        std::fs::write(place.folder.path().join(name), text).unwrap();
    }
    let run = place.resume(&server).run().exits(0);
    assert_eq!(run.listing().sorted(), numbered(10));
    assert!(place.state().finished);
    place.holds_only(&["list.json", "list.json.lock"]);
}

#[test]
fn a_closed_pipe_is_recorded_in_the_state() {
    let keys = numbered(20_000);
    let (server, place) = (server_of(&keys, &[]), Place::new());
    let (mut reader, stdout) = std::io::pipe().unwrap();
    let running = place.tool(&server).start_with(Stdio::null(), stdout.into());
    reader.read_exact(&mut [0]).unwrap();
    drop(reader);
    running.finish().dies_by(Signal::PIPE.as_raw());
    assert!(place.state().broken_pipe);
    let run = place
        .resume(&server)
        .run()
        .exits(0)
        .says("its output was closed early");
    assert_eq!(run.listing().sorted(), keys);
    assert!(!place.state().broken_pipe);
}

/// Runs until some pages are recorded, then kills; returns what was written.
fn killed(tool: Tool, place: &Place, pages: u64) -> Vec<u8> {
    let (mut reader, stdout) = std::io::pipe().unwrap();
    let running = tool.start_with(Stdio::null(), stdout.into());
    let before = if place.file.exists() {
        place.state().pages
    } else {
        0
    };
    wait_for("some pages", || {
        place.file.exists() && place.state().pages >= before + pages
    });
    running.signal(Signal::KILL);
    running.finish().dies_by(Signal::KILL.as_raw());
    let mut written = Vec::new();
    reader.read_to_end(&mut written).unwrap();
    written
}

/// Returns the complete lines; the last one may be torn by the kill.
fn whole_lines(mut written: Vec<u8>) -> Vec<u8> {
    written.truncate(written.iter().rposition(|byte| *byte == b'\n').unwrap() + 1);
    written
}

#[test]
fn a_killed_and_resumed_listing_is_complete() {
    let keys = numbered(20_000);
    for args in [
        &["--concurrency", "1"][..],
        &["--page-size", "100"],
        &["--page-size", "100", "--ordered"],
    ] {
        let (server, place) = (server_of(&keys, &[]), Place::new());
        let tool = || place.resume(&server).args(args.iter().copied());
        let mut written = whole_lines(killed(tool(), &place, 2));
        let first = place.state();
        written.extend(whole_lines(killed(tool(), &place, 3)));
        let second = place.state();
        assert!(second.pages > first.pages);
        let last: Run = tool().run().exits(0);
        // The last run lists exactly what was open in the state before it.
        let open: Vec<_> = keys.iter().filter(|key| !second.covers(key)).collect();
        assert_eq!(last.listing().sorted(), open);
        written.extend(&last.stdout);
        let whole = listing(&written);
        let mut listed = whole.keys();
        listed.sort_unstable();
        listed.dedup();
        assert_eq!(listed, keys);
        assert!(whole.parts.iter().all(|(part, _)| part.run == first.run));
        // Every key was written before the mark that covers it.
        for key in &keys {
            let named = |part: &Part| part.holds(key);
            let parts = whole.parts.iter();
            let mut naming = parts.filter(|(part, _)| named(&part.clone().into()));
            assert!(naming.any(|(_, keys)| keys.contains(key)), "{key}");
        }
        assert_eq!(place.state().coverage, [part(("", ""))]);
        place.holds_only(&["list.json", "list.json.lock"]);
    }
}

/// An empty page covers no keys after it.
#[test]
fn a_listing_killed_after_an_empty_page_is_complete() {
    let place = Place::new();
    let server = server_of(&numbered(10), &["--empty-pages", "100"]);
    let slow = place.tool(&server);
    let slow = slow.args(["--max-rps", "0.01", "--concurrency", "1"]);
    let run = slow.start_with(Stdio::null(), Stdio::null());
    wait_for("the first page", || server.counts()["list"] == 1);
    assert_eq!(place.state().coverage, []);
    run.signal(Signal::KILL);
    run.finish().dies_by(9);
    let listing = place.resume(&server).run().exits(0).listing();
    assert_eq!(listing.keys().len(), 10);
}
