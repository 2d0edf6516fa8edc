//! Who may name what: the shape of the tree, held by its text.

use std::path::{Path, PathBuf};

use buildhub_pipes::stage::STAGES;

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
    ("metrics", &[]),
    ("counters", &[]),
    ("error", &[]),
    ("progress", &["counters"]),
    ("log", &["progress"]),
    ("disk", &["error"]),
    ("shutdown", &["error"]),
    ("context", &["counters", "error", "log", "shutdown"]),
    ("retry", &["backoff", "context", "error"]),
    // Plain data.
    ("json", &[]),
    ("record", &["hex", "json"]),
    ("archive", &["json", "record"]),
    // A row goes straight into the lines that are written.
    ("inventory", &["ndjson", "record"]),
    ("listing", &["record"]),
    ("yaml", &["hex"]), // its tests compare digests
    ("schema", &["error", "json", "record", "yaml"]),
    ("ndjson", &[BASE, "json", "record"]),
    // What is touched.
    (
        "remote",
        &[
            BASE, "address", "archive", "backoff", "json", "listing", "ndjson", "record", "retry",
            "yaml",
        ],
    ),
    (
        "store",
        &[
            BASE, "address", "backoff", "json", "ndjson", "record", "retry",
        ],
    ),
    ("resume", &[BASE, "json", "ndjson", "record"]),
    // The process: only programs know it.
    ("cli", &[BASE, "ndjson", "progress"]),
    ("stage/bh_derive", &[STAGE, "archive", "remote"]),
    ("stage/bh_fetch", &[STAGE, "remote"]),
    ("stage/bh_filter", &[STAGE, "store"]),
    (
        "stage/bh_load",
        &[STAGE, "metrics", "remote", "resume", "store"],
    ),
    ("stage/bh_validate", &[STAGE, "schema"]),
    (
        "stage/kinto_export",
        &[STAGE, "metrics", "remote", "resume", "store"],
    ),
    ("stage/kinto_load", &[STAGE, "metrics", "remote"]),
    (
        "stage/s3_inventory",
        &[STAGE, "inventory", "remote", "resume"],
    ),
    ("stage/s3_list", &[STAGE, "listing", "remote", "resume"]),
];

/// What every part that does something may use.
const BASE: &str = "context counters disk error log shutdown";

/// What every program may use.
const STAGE: &str = "context counters disk error log shutdown address cli hex json ndjson record";

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

/// The parts of the crate that `file` imports, by `crate::` or `crate::{`.
fn imports(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let code: Vec<&str> = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    let code = code.join("\n");
    let word = |text: &str| -> String {
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_'));
        text[..end.unwrap_or(text.len())].to_owned()
    };
    let uses = code.split("crate::").skip(1).flat_map(|after| {
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
        for import in imports(&file) {
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

#[test]
fn what_needs_no_socket_names_no_client() {
    let (filter, validate) = (module("bh-filter"), module("bh-validate"));
    let folders = [
        &*filter,
        &*validate,
        "src/archive",
        "src/inventory",
        "src/json",
        "src/listing",
        "src/ndjson",
        "src/record",
        "src/store",
    ];
    never_name(&folders, &["aws_", "elasticsearch::", "tokio::"], &[]);
}

#[test]
fn plain_data_does_no_input_or_output() {
    let words = ["std::fs", "std::io", "std::net", "std::env", "std::process"];
    let folders = ["src/archive", "src/inventory", "src/json", "src/record"];
    never_name(&folders, &words, &[]);
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

#[test]
fn only_the_store_speaks_sql_and_only_remote_knows_its_clients() {
    never_name(&["src"], &["rusqlite", "postgres::"], &["src/store"]);
    never_name(
        &["src"],
        &["aws_sdk", "aws_config", "aws_smithy", "elasticsearch::"],
        &["src/remote"],
    );
}

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
    let programs = root().join("src/bin").read_dir().unwrap().count();
    assert_eq!(
        programs,
        STAGES.len(),
        "a program is not in the table of stages"
    );
}
