//! scripts/backfill as started by cron, and the order of exit statuses.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::faulty::{Faulty, object};
use crate::harness::sample::{build, key};
use crate::harness::{folder, lines_of, program, wait_for};

fn script(name: &str) -> Command {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let programs = program("s3-list").parent().unwrap().display().to_string();
    let mut command = Command::new(scripts.join(name));
    command.env_clear().env(
        "PATH",
        format!("{programs}:{}", std::env::var("PATH").unwrap()),
    );
    command
}

/// Returns a copy of a script in a checkout where nothing is built.
fn unbuilt(name: &str, folder: &Path) -> Command {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let copy = folder.join("scripts");
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(scripts.join(name), copy.join(name)).unwrap();
    let mut command = Command::new(copy.join(name));
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir(folder);
    command
}

struct Night {
    url: String,
    folder: TempDir,
}

impl Night {
    fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            folder: folder(),
        }
    }

    fn command(&self, flags: &[&str]) -> Command {
        let mut command = script("backfill");
        command
            .args(["--no-sign-request", "--endpoint-url", &self.url])
            .args(flags)
            .arg("s3://bench")
            .env("DATABASE_URL", "sqlite:b.db")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .current_dir(self.folder.path())
            .stderr(Stdio::piped());
        command
    }

    #[track_caller]
    fn ends_with(&self, status: i32, flags: &[&str]) -> Output {
        let done = self.command(flags).output().unwrap();
        assert_eq!(done.status.code(), Some(status), "{done:?}");
        done
    }

    /// Returns how many rows are stored, `None` before there is a table.
    fn stored(&self) -> Option<i64> {
        let path = self.folder.path().join("b.db");
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let database = rusqlite::Connection::open_with_flags(path, flags).ok()?;
        let count = "SELECT count(*) FROM main_build";
        database.query_row(count, [], |row| row.get(0)).ok()
    }

    fn rows(&self) -> Vec<String> {
        let database = rusqlite::Connection::open(self.folder.path().join("b.db")).unwrap();
        let query = "SELECT build FROM main_build ORDER BY s3_object_key";
        let mut statement = database.prepare(query).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    fn state(&self, name: &str) -> Vec<Value> {
        lines_of(&self.folder.path().join("backfill").join(name))
    }

    /// Returns a member of the line of the last run.
    fn last(&self, pointer: &str) -> Value {
        let runs = self.state("runs.ndjson");
        runs.last().unwrap().pointer(pointer).unwrap().clone()
    }
}

fn objects(total: usize) -> Vec<Value> {
    let objects = (0..total).map(|n| object(&key(n), &build(n).to_string()));
    objects.collect()
}

#[test]
fn each_run_loads_new_builds_and_rejects_an_object_once() {
    let mut all = objects(30);
    all[7]["body"] = json!("{}");
    let s3 = Faulty::start(&all, &[]);
    let night = Night::new(&s3.url);
    for (fetched, rejected, status) in [(30, 1, 65), (0, 0, 0), (0, 0, 0)] {
        night.ends_with(status, &[]);
        assert_eq!(night.rows().len(), 29);
        assert_eq!(night.state("rejects/bh-validate.ndjson").len(), rejected);
        let known_bad = night.state("rejects/bh-filter.ndjson").len();
        assert_eq!(known_bad, 1 - rejected);
        let counts = "/stages/bh-fetch/summary/in";
        assert_eq!(night.last(counts), fetched, "{:?}", night.last(""));
        assert_eq!(night.last("/stages/bh-validate/status"), status);
        assert_eq!(night.last("/status"), status);
    }
    assert_eq!(night.state("runs.ndjson").len(), 3);
    assert_eq!(night.state("rejects.last/bh-validate.ndjson").len(), 1);
}

/// Pages that nobody confirmed are listed by the next night, in the same run.
#[test]
fn rejects_are_kept_until_their_run_is_finished() {
    let mut all = objects(40);
    // Enough of them, so that the server is not to blame for the one that fails.
    for object in &mut all[..10] {
        object["body"] = json!("{}");
    }
    let s3 = Faulty::start(&all, &["--fail-get", &key(39)]);
    let night = Night::new(&s3.url);
    for (now, last) in [(10, 0), (20, 0), (10, 20)] {
        let mut run = night.command(&["--tries", "2"]);
        let run = run.env("BACKFILL_BH_FILTER", "--retry-rejects");
        let done = run.output().unwrap();
        assert_eq!(done.status.code(), Some(65), "{done:?}");
        assert_eq!(night.state("rejects/bh-validate.ndjson").len(), now);
        assert_eq!(night.state("rejects.last/bh-validate.ndjson").len(), last);
    }
}

#[test]
fn an_audit_finds_what_the_next_backfill_mends() {
    let mut all = objects(30);
    all[7]["body"] = json!("{}");
    let s3 = Faulty::start(&all, &[]);
    let night = Night::new(&s3.url);
    let audit = |status: i32| {
        let mut command = night.command(&["--audit"]);
        let done = command
            .env(
                "BACKFILL_BH_FILTER",
                "--retry-rejects --suffix buildhub.json",
            )
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(status), "{done:?}");
        let mut lines = night.state("audit.ndjson");
        lines.retain(|line| line.get("mark").is_none());
        lines
    };
    assert_eq!(audit(65).len(), 30);
    night.ends_with(65, &[]);
    assert_eq!(audit(0).len(), 0);
    let database = rusqlite::Connection::open(night.folder.path().join("b.db")).unwrap();
    let delete = "DELETE FROM main_build WHERE s3_object_key = ?1";
    database.execute(delete, [key(3)]).unwrap();
    let found = audit(65);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (&found[0]["key"], &found[0]["audit"]),
        (&json!(key(3)), &json!("missing"))
    );
    night.ends_with(0, &[]);
    assert_eq!(audit(0).len(), 0);
}

#[test]
fn only_one_backfill_runs_at_a_time() {
    let s3 = Faulty::start(&objects(1), &[]);
    let night = Night::new(&s3.url);
    night.ends_with(0, &[]);
    let before = night.state("runs.ndjson");
    let lock = std::fs::File::open(night.folder.path().join("backfill/lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let done = night.ends_with(75, &[]);
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(
        said.contains("is in use by another run; nothing was done"),
        "{said}"
    );
    assert_eq!(night.state("runs.ndjson"), before);
}

#[test]
fn a_stopped_backfill_keeps_what_it_has_stored() {
    let all = objects(40);
    let s3 = Faulty::start(&all, &["--fail-get", &key(39)]);
    let night = Night::new(&s3.url);
    let run = night.command(&["--tries", "1000"]).spawn().unwrap();
    wait_for("the rows of the other objects", || {
        night.stored() == Some(39)
    });
    kill_process(Pid::from_child(&run), Signal::TERM).unwrap();
    let done = run.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(143));
    let said = String::from_utf8_lossy(&done.stderr);
    let again = format!(
        "to resume, run {}",
        script("backfill").get_program().display()
    );
    assert!(said.contains(&again), "{said}");
    assert_eq!(night.last("/status"), 143);
    // Only the failed object is left.
    night.ends_with(65, &["--tries", "1"]);
    assert_eq!(night.rows().len(), 39);
    assert_eq!(night.last("/stages/bh-filter/summary/out"), 1);
}

#[test]
fn an_unreachable_s3_server_ends_the_backfill() {
    let night = Night::new("http://127.0.0.1:9");
    night.ends_with(69, &["--tries", "1"]);
    assert_eq!(night.last("/stages/s3-list/status"), 69);
    assert_eq!(script("backfill").status().unwrap().code(), Some(2));
}

#[test]
fn the_most_serious_exit_status_wins() {
    let order = [
        "127", "2", "78", "77", "70", "74", "137", "69", "143", "75", "141", "65", "0",
    ];
    let worst = |statuses: &[&str]| {
        let done = script("worst-status").args(statuses).output().unwrap();
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    for pair in order.windows(2) {
        assert_eq!(worst(&[pair[1], pair[0], pair[1]]), pair[0]);
        assert_eq!(worst(pair), pair[0]);
    }
    assert_eq!(worst(&["0", "0"]), "0");
}

#[test]
fn worst_status_refuses_anything_but_exit_statuses() {
    for statuses in [&["abc"][..], &["0", ""], &["0", "-1"], &["65", "1 2"]] {
        let done = script("worst-status").args(statuses).output().unwrap();
        assert_eq!(done.status.code(), Some(2), "{done:?}");
        assert!(done.stdout.is_empty(), "{done:?}");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(
            said.starts_with("worst-status: not an exit status: "),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_script_without_its_programs_names_the_first_and_how_to_build_it() {
    for (name, argument, program) in [
        ("backfill", "s3://bench", "s3-list"),
        ("migrate-kinto", "--skip-invalid", "kinto-export"),
    ] {
        let folder = folder();
        let done = unbuilt(name, folder.path()).arg(argument).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(127), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        let wanted = format!(
            "{name}: cannot find {program}: build the programs with cargo build --release --locked in "
        );
        assert!(said.contains(&wanted), "{said}");
    }
}

#[test]
fn backfill_refuses_wrong_arguments_before_anything_starts() {
    for (arguments, said) in [
        (&["--no-sign-request"][..], "no bucket given"),
        (
            &["--database", "sqlite:b.db", "s3://bench"],
            "backfill: --database is not an option here: set DATABASE_URL; see --help",
        ),
        (
            &["s3://bench", "--elasticsearch=http://es"],
            "is not an option here: set ELASTICSEARCH_URL; see --help",
        ),
        (&["s3://bench", "--resume"], "is set by this script"),
        (&["--summary=s.json", "s3://bench"], "is set by this script"),
        (
            &[],
            "no bucket given; usage: scripts/backfill [OPTION...] s3://BUCKET[/PREFIX]",
        ),
        (
            &["--nonsense", "s3://bench"],
            "backfill: unexpected argument '--nonsense' found",
        ),
    ] {
        let folder = folder();
        let mut command = script("backfill");
        let done = command.args(arguments).current_dir(folder.path());
        let done = done.output().unwrap();
        assert_eq!(done.status.code(), Some(2), "{done:?}");
        let text = String::from_utf8_lossy(&done.stderr);
        assert!(text.contains(said), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            folder.path().read_dir().unwrap().next().is_none(),
            "{done:?}"
        );
    }
}

#[test]
fn each_stage_takes_options_by_its_variable() {
    let s3 = Faulty::start(&objects(3), &[]);
    let night = Night::new(&s3.url);
    let pattern = format!("--suffix build --suffix '{}'", key(1));
    let done = night
        .command(&[])
        .env("BACKFILL_BH_FILTER", pattern)
        .env("BACKFILL_BH_LOAD", "--mark-unvalidated")
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert_eq!(night.rows().len(), 1);
    for (variable, options, said) in [
        (
            "BACKFILL_BH_FETCH",
            "--nonsense",
            "BACKFILL_BH_FETCH: unexpected argument '--nonsense' found",
        ),
        (
            "BACKFILL_BH_LOAD",
            "'half",
            "BACKFILL_BH_LOAD: xargs: unmatched single quote",
        ),
    ] {
        let done = night.command(&[]).env(variable, options).output().unwrap();
        assert_eq!(done.status.code(), Some(2), "{done:?}");
        let text = String::from_utf8_lossy(&done.stderr);
        assert!(text.contains(said), "{text}");
        assert_eq!(night.state("runs.ndjson").len(), 1);
    }
}

#[test]
fn the_bucket_may_be_the_setting_of_buildhub2() {
    for variable in ["S3_BUCKET_URL", "DJANGO_S3_BUCKET_URL"] {
        let s3 = Faulty::start(&objects(3), &[]);
        let night = Night::new(&s3.url);
        let mut command = script("backfill");
        let done = command
            .env(variable, format!("{}/bench?access=public", s3.url))
            .env("DATABASE_URL", "sqlite:b.db")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .current_dir(night.folder.path())
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        assert_eq!(night.rows().len(), 3);
    }
    let folder = folder();
    let mut command = script("backfill");
    let command = command
        .env("S3_BUCKET_URL", "ftp://x/y")
        .current_dir(folder.path());
    let done = command.output().unwrap();
    assert_eq!(done.status.code(), Some(2), "{done:?}");
    let text = String::from_utf8_lossy(&done.stderr);
    assert!(
        text.contains("is not a bucket's URL: expected https://HOST/BUCKET"),
        "{text}"
    );
}

#[test]
fn the_log_of_a_backfill_has_times() {
    let s3 = Faulty::start(&objects(3), &[]);
    let night = Night::new(&s3.url);
    let done = night.ends_with(0, &[]);
    let date = regex::Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ [a-z0-9-]+: ").unwrap();
    let text = String::from_utf8(done.stderr).unwrap();
    assert!(
        text.lines().count() >= 6 && text.lines().all(|line| date.is_match(line)),
        "{text}"
    );
}

#[test]
fn the_status_says_how_the_last_pipeline_ended() {
    let mut all = objects(3);
    all[1]["body"] = json!("{}");
    let s3 = Faulty::start(&all, &[]);
    let night = Night::new(&s3.url);
    let status = |code: i32| {
        let mut command = script("backfill");
        let done = command
            .arg("--status")
            .current_dir(night.folder.path())
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(code), "{done:?}");
        done
    };
    let none = String::from_utf8(status(78).stderr).unwrap();
    assert!(none.contains("no pipeline has ended here yet"), "{none}");
    night.ends_with(65, &[]);
    let text = String::from_utf8(status(0).stdout).unwrap();
    for words in [
        ", exit status 65",
        "  s3-list      exit status 0, 0 rejects",
        "  bh-validate  exit status 65, 1 reject",
        "known bad  0",
        "state      finished",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}
