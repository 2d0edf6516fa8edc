//! Which part may use what: the layers of the tree, and the crates of each.

use std::path::{Path, PathBuf};

use buildhub_pipes::progress::{PROGRAMS, SINKS};
use buildhub_pipes::stage::{STAGES, Stage};

use crate::harness::NOTICES;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `folder`, or that file itself.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    assert!(!found.is_empty(), "{folder}");
    found
}

/// The lines of code in `file` that hold one of `words`.
fn naming(file: &Path, words: &[&str]) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let name = file.strip_prefix(root()).unwrap().display();
    let code = text.lines().enumerate().filter(|(_, line)| {
        let code = line.split("//").next().unwrap_or_default();
        words.iter().any(|word| code.contains(word))
    });
    code.map(|(at, line)| format!("{name}:{}: {}", at + 1, line.trim()))
        .collect()
}

#[track_caller]
fn never_name(folders: &[&str], words: &[&str], but: &[&str]) {
    let files = folders.iter().flat_map(|folder| files(folder));
    let files = files.filter(|file| !but.iter().any(|name| file.starts_with(root().join(name))));
    let found: Vec<String> = files.flat_map(|file| naming(&file, words)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The module of a stage is a file, or a folder.
fn module(stage: &str) -> String {
    let name = stage.replace('-', "_");
    let folder = format!("src/stage/{name}");
    if root().join(&folder).is_dir() {
        folder
    } else {
        format!("{folder}.rs")
    }
}

/// What each part of `src` may import of the others, from the bottom up. A part
/// that is not named here may import nothing.
const LAYERS: &[(&str, &[&str])] = &[
    ("hex", &[]),
    ("address", &[]),
    ("backoff", &[]),
    ("environment", &[]),
    ("limits", &[]),
    ("metrics", &["environment"]),
    ("counters", &[]),
    ("error", &[]),
    ("log", &["environment"]),
    ("values", &[]),
    ("panics", &[]),
    ("private_dir", &[]),
    ("file_format", &[]),
    ("disk", &["error"]),
    ("trust", &["error"]),
    ("shutdown", &["error"]),
    ("progress", &["counters", "log", "private_dir", "shutdown"]),
    (
        "context",
        &["counters", "error", "log", "metrics", "shutdown"],
    ),
    ("retry", &["backoff", "context", "error", "log"]),
    // Plain data.
    ("json", &[]),
    ("record", &["hex", "json"]),
    ("archive", &["json", "record"]),
    // A row goes straight into the lines that are written.
    ("inventory", &["file_format", "limits", "ndjson", "record"]),
    ("listing", &["limits", "record"]),
    ("yaml", &["hex"]), // its tests compare digests
    ("schema", &["error", "hex", "json", "record", "yaml"]),
    (
        "ndjson",
        &[BASE, "file_format", "json", "limits", "metrics", "record"],
    ),
    // What is touched.
    (
        "remote",
        &[
            BASE,
            "address",
            "archive",
            "backoff",
            "environment",
            "file_format",
            "json",
            "limits",
            "listing",
            "ndjson",
            "private_dir",
            "record",
            "retry",
            // Kinto's own database is reached as the store in PostgreSQL is.
            "store",
            "trust",
            "yaml",
        ],
    ),
    (
        "store",
        &[
            BASE,
            "address",
            "backoff",
            "environment",
            "json",
            "ndjson",
            "record",
            "retry",
            "trust",
        ],
    ),
    ("resume", &[BASE, "json", "ndjson", "record"]),
    (
        "indexing",
        &[BASE, "json", "ndjson", "record", "remote", "store"],
    ),
    // The process: only programs know it.
    (
        "cli",
        &[
            BASE,
            "environment",
            "metrics",
            "ndjson",
            "panics",
            "progress",
        ],
    ),
    ("stage/bh_audit", &[STAGE, "schema", "store"]),
    ("stage/bh_derive", &[STAGE, "archive", "remote"]),
    ("stage/bh_export", &[STAGE, "resume", "store"]),
    ("stage/bh_fetch", &[STAGE, "remote"]),
    ("stage/bh_filter", &[STAGE, "schema", "store"]),
    ("stage/bh_index", &[STAGE, "indexing", "remote", "store"]),
    (
        "stage/bh_load",
        &[STAGE, "indexing", "metrics", "remote", "resume", "store"],
    ),
    ("stage/bh_promote", &[STAGE, "store"]),
    ("stage/bh_validate", &[STAGE, "schema"]),
    ("stage/kinto_export", &[STAGE, "remote", "resume"]),
    ("stage/kinto_load", &[STAGE, "metrics", "remote"]),
    (
        "stage/s3_inventory",
        &[STAGE, "inventory", "limits", "panics", "remote", "resume"],
    ),
    ("stage/s3_list", &[STAGE, "listing", "remote", "resume"]),
    ("stage/sqs_delete", &[STAGE, "remote"]),
    ("stage/sqs_receive", &[STAGE, "remote"]),
    ("stage/sqs_send", &[STAGE, "remote"]),
];

/// What every part that does something may use.
const BASE: &str = "context counters disk error log shutdown values";

/// What every program may use.
const STAGE: &str =
    "context counters disk error log shutdown values address cli hex json ndjson record";

/// The part of `src` that a file belongs to.
fn part(file: &Path) -> String {
    let path = file.strip_prefix(root().join("src")).unwrap();
    let mut names = path.iter().map(|name| name.to_str().unwrap());
    let first = names.next().unwrap().trim_end_matches(".rs");
    match (first, names.next()) {
        ("stage", Some(name)) => format!("stage/{}", name.trim_end_matches(".rs")),
        _ => first.to_owned(),
    }
}

/// The code of `file`: comments are gone, and strings are empty.
fn code(file: &Path) -> String {
    let noise = r##"//[^\n]*|r#"(?s:.*?)"#|"(?s:\\.|[^"\\])*"|'(?:\\.|[^'\\])'"##;
    let text = std::fs::read_to_string(file).unwrap();
    let noise = regex::Regex::new(noise).unwrap();
    noise.replace_all(&text, "\"\"").into_owned()
}

/// The names that follow `path` in `code`, such as `a` and `b` of `crate::a`
/// and `crate::{a::x, b}`.
fn names_below(path: &str, code: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_'));
        text[..end.unwrap_or(text.len())].to_owned()
    };
    let uses = code.split(path).skip(1).flat_map(|after| {
        let Some(group) = after.strip_prefix('{') else {
            return vec![word(after)];
        };
        let mut depth = 0;
        let mut names = vec![String::new()];
        for character in group.chars() {
            match character {
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                '{' => depth += 1,
                ',' if depth == 0 => names.push(String::new()),
                other if depth == 0 => names.last_mut().unwrap().push(other),
                _ => {}
            }
        }
        names.iter().map(|name| word(name.trim())).collect()
    });
    uses.filter(|name| !name.is_empty()).collect()
}

#[test]
fn each_part_imports_only_what_the_table_allows() {
    let mut wrong = Vec::new();
    for file in files("src") {
        let part = part(&file);
        if ["bin", "lib", "stage/mod"].contains(&&*part) {
            continue;
        }
        let allowed = LAYERS.iter().find(|(name, _)| *name == part);
        let allowed = allowed.map_or(&[][..], |(_, allowed)| *allowed);
        for import in names_below("crate::", &code(&file)) {
            let may = allowed
                .iter()
                .any(|words| words.split(' ').any(|word| word == import));
            if !may && import != part {
                wrong.push(format!("{}: {import}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_stage_imports_no_other_stage() {
    for stage in STAGES {
        let others = STAGES.iter().filter(|other| other.name != stage.name);
        let others: Vec<String> = others
            .map(|other| format!("{}::", other.name.replace('-', "_")))
            .collect();
        let others: Vec<&str> = others.iter().map(|name| &**name).collect();
        never_name(&[&module(stage.name)], &others, &[]);
    }
}

/// The parts that may use a crate, or a module of `std` that touches the world.
/// `stage` stands for all programs; a crate that is not named may be used
/// nowhere.
const CRATES: &[(&str, &str)] = &[
    (
        "bytes fastrand itoa jiff md5 memchr parking_lot percent_encoding regex ryu",
        ANY,
    ),
    ("serde serde_json siphasher thiserror url uuid", ANY),
    ("anyhow", "error"),
    ("base64", "listing"),
    ("clap", "cli log ndjson remote resume schema store stage"),
    ("crossbeam_channel", "indexing ndjson stage"),
    ("ctor", "cli"),
    ("cadence", "metrics"),
    ("csv", "inventory"),
    ("brotli_decompressor zstd", "remote"),
    ("flate2", "remote stage/s3_inventory"),
    ("parquet", "stage/s3_inventory"),
    ("indicatif", "progress"),
    ("jsonschema", "schema"),
    ("mimalloc", "bin"),
    (
        "rustix",
        "cli disk log ndjson private_dir progress remote shutdown stage/s3_list",
    ),
    ("serde_saphyr", "yaml"),
    ("signal_hook", "cli ndjson progress shutdown"),
    ("tempfile", "cli stage/s3_inventory stage/s3_list"),
    // Servers and databases. What is pure, and bh-validate, knows none of them.
    (
        "aws_config aws_credential_types aws_sdk_s3 aws_sdk_sqs",
        "remote",
    ),
    (
        "aws_runtime aws_smithy_runtime_api aws_smithy_types aws_types",
        "remote",
    ),
    (
        "http_body_util hyper hyper_rustls hyper_util tower_service",
        "remote",
    ),
    ("elasticsearch reqwest", "remote"),
    // Kinto's own database is PostgreSQL too.
    ("postgres", "remote store"),
    ("rusqlite tokio_postgres_rustls", "store"),
    ("rustls", "remote store trust"),
    ("rustls_native_certs", "trust"),
    (
        "tokio",
        "remote shutdown stage/bh_derive stage/s3_inventory stage/s3_list stage/sqs_delete stage/sqs_receive stage/sqs_send",
    ),
    ("std::net", "metrics"),
    ("std::process", "bin cli progress"),
    (
        "std::env std::fs std::io",
        "cli disk environment error log metrics ndjson private_dir progress remote resume schema shutdown stage store trust",
    ),
];

const ANY: &str = "any";

/// The crates that Cargo.toml names, as code spells them.
fn dependencies() -> Vec<String> {
    let cargo = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let section = cargo
        .split("\n[")
        .find_map(|part| part.strip_prefix("dependencies]\n"));
    let names = section
        .unwrap()
        .lines()
        .filter_map(|line| line.split(['=', '.']).next());
    let names = names.map(|name| name.trim().replace('-', "_").replace("md_5", "md5"));
    names.collect()
}

#[test]
fn each_part_uses_only_the_crates_that_the_table_allows() {
    let dependencies = dependencies();
    let head = regex::Regex::new(r"(?:^|[^\w:.])(\w+)::").unwrap();
    let mut wrong = Vec::new();
    for file in files("src") {
        let (part, code) = (part(&file), code(&file));
        let heads = head.captures_iter(&code).map(|found| found[1].to_owned());
        let crates = heads.filter(|name| dependencies.contains(name));
        let std = names_below("std::", &code).into_iter();
        let std = std.map(|name| format!("std::{name}"));
        let named = |name: &str| {
            CRATES
                .iter()
                .find(|(all, _)| all.split(' ').any(|one| one == name))
        };
        for name in crates.chain(std.filter(|name| named(name).is_some())) {
            let allowed = named(&name).map_or("", |(_, parts)| parts);
            let above = part.split('/').next().unwrap();
            if !allowed
                .split(' ')
                .any(|own| [ANY, &part, above].contains(&own))
            {
                wrong.push(format!("{}: {name}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_harness_knows_every_message_about_a_slow_step() {
    for file in files("src") {
        let text = std::fs::read_to_string(&file).unwrap();
        let calls = text.match_indices(".notify_if_slow(");
        for (at, _) in calls {
            let before = text[..at].char_indices().rev().nth(150);
            let after = text[at..].char_indices().nth(150);
            let near =
                &text[before.map_or(0, |(from, _)| from)..at + after.map_or(0, |(to, _)| to)];
            let known = NOTICES
                .iter()
                .any(|notice| near.contains(&format!("\"{notice}")));
            assert!(known, "{}: {near}", file.display());
        }
    }
}

#[test]
fn only_the_process_names_its_streams_and_exits() {
    let exits = ["process::exit", "process::abort", "libc::"];
    never_name(&["src"], &exits, &["src/cli"]);
    let prints = ["println!", "print!", "eprintln!", "eprint!", "dbg!"];
    never_name(&["src"], &prints, &[]);
    let streams = [
        "io::stdin",
        "io::stdout",
        "io::stderr",
        "stdin()",
        "stdout()",
        "stderr()",
    ];
    never_name(
        &["src"],
        &streams,
        &["src/cli", "src/log.rs", "src/progress"],
    );
}

/// What the programs write that write no records.
const SINK_WRITES: [&str; 3] = [
    "with --marks, the marks of what is stored",
    "with --marks, the marks of what is sent",
    "nothing",
];

#[test]
fn a_program_has_one_name_everywhere() {
    let tests = std::fs::read_to_string(root().join("tests/main.rs")).unwrap();
    let cargo = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for stage in STAGES {
        let (name, module_name) = (stage.name, stage.name.replace('-', "_"));
        assert_eq!((stage.command)().get_name(), name);
        let there = |path: String| assert!(root().join(&path).is_file(), "{path} is missing");
        there(format!("src/bin/{name}.rs"));
        there(format!("man/{name}.1"));
        there(format!("tests/{module_name}.rs"));
        assert!(root().join(module(name)).exists(), "{}", module(name));
        assert!(
            tests.contains(&format!("mod {module_name};")),
            "tests/main.rs: {module_name}"
        );
        assert!(
            cargo.contains(&format!("name = \"{name}\"")),
            "Cargo.toml: {name}"
        );
        let main = std::fs::read_to_string(root().join(format!("src/bin/{name}.rs"))).unwrap();
        assert!(
            main.lines().count() <= 12,
            "src/bin/{name}.rs is more than a sentence"
        );
    }
    let sorted = |mut names: Vec<&'static str>| {
        names.sort_unstable();
        names
    };
    let names = |only: fn(&Stage) -> bool| {
        let stages = STAGES.iter().filter(|stage| only(stage));
        sorted(stages.map(|stage| stage.name).collect())
    };
    assert_eq!(sorted(PROGRAMS.to_vec()), names(|_| true));
    let sink = |stage: &Stage| SINK_WRITES.contains(&stage.writes);
    assert_eq!(sorted(SINKS.to_vec()), names(sink));
    let programs = root().join("src/bin").read_dir().unwrap().count();
    assert_eq!(
        programs,
        STAGES.len(),
        "a program is not in the table of stages"
    );
}
