//! Who may name what: the shape of the tree, held by its text.

use std::path::{Path, PathBuf};

use buildhub_pipes::stage::STAGES;

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

#[test]
fn what_needs_no_socket_knows_of_none() {
    let folders = [module("bh-filter"), module("bh-validate")];
    let folders: Vec<&str> = folders
        .iter()
        .map(|folder| &**folder)
        .chain([
            "src/inventory",
            "src/listing",
            "src/record",
            "src/json",
            "src/ndjson",
            "src/store",
        ])
        .collect();
    never_name(
        &folders,
        &["remote", "aws_", "elasticsearch::", "tokio::"],
        &[],
    );
}

#[test]
fn records_and_json_are_plain_data() {
    let words = [
        "std::fs",
        "std::io",
        "std::net",
        "std::env",
        "std::process",
        "crate::cli",
        "crate::stage",
        "crate::store",
    ];
    never_name(&["src/record", "src/json", "src/inventory"], &words, &[]);
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
