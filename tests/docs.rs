//! The documentation agrees with the programs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use buildhub_pipes::error::STATUSES;
use buildhub_pipes::stage::{STAGES, Stage};

use crate::harness::{folder, program};
use crate::recipes::DOCUMENTS;

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What is written by hand for readers, besides the documents.
const OTHERS: [&str; 3] = ["CONTRIBUTING.md", "man/bh-pipes.7", "man/bh-lines.5"];

/// What is written by hand for readers.
fn written() -> impl Iterator<Item = &'static str> {
    DOCUMENTS.into_iter().chain(OTHERS)
}

/// Returns the rows of the table below this header.
#[track_caller]
fn table<'a>(document: &'a str, head: &str) -> Vec<&'a str> {
    let (_, after) = document
        .split_once(head)
        .unwrap_or_else(|| panic!("no table {head}"));
    let rows = after.trim_start_matches('\n').lines().skip(1);
    rows.take_while(|line| line.starts_with('|')).collect()
}

/// Returns a man page without its escapes.
fn page(path: &str) -> String {
    let page = text(path)
        .replace("\\-", "-")
        .replace("\\*(Aq", "'")
        .replace("\\(aq", "'");
    ["\\fB", "\\fI", "\\fR", "\\&"]
        .iter()
        .fold(page, |page, font| page.replace(font, ""))
}

/// The names of the limits in the code are their descriptions in the table.
#[test]
fn the_limits_are_those_of_the_code() {
    let code = text("src/limits.rs");
    let of_code = code.split("\n/// ").skip(1).map(|item| {
        let (what, constant) = item.split_once(".\npub const ").unwrap();
        let (number, shift) = constant.split_once(" << ").unwrap();
        let number = number.split_once("= ").unwrap().1;
        let unit = match shift.trim_end() {
            "20;" => "MiB",
            "10;" => "KiB",
            other => panic!("{what}: {other}"),
        };
        (what.to_lowercase(), format!("{number} {unit}"))
    });
    let of_code: BTreeMap<_, _> = of_code.collect();
    let page = text("docs/limits.md");
    let rows = table(&page, "| what is read | at most | else |\n").into_iter();
    let of_table = rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        (cells[0].to_lowercase(), cells[1].to_owned())
    });
    let mut of_table: BTreeMap<_, _> = of_table.collect();
    let object = of_table.remove("an object, decompressed").unwrap();
    assert_eq!(of_table, of_code);
    let help = Command::new(program("bh-fetch")).arg("--help").output();
    let help = String::from_utf8(help.unwrap().stdout).unwrap();
    let (_, size) = help.split_once("--max-size <SIZE>").unwrap();
    let (_, size) = size.split_once("[default: ").unwrap();
    let (size, _) = size.split_once(']').unwrap();
    assert_eq!(
        object,
        format!("`--max-size`, {size}iB").replace("MiB", " MiB")
    );
}

#[test]
fn the_readme_is_short() {
    let lines = text("README.md").lines().count();
    assert!(lines < 200, "{lines} lines: move the rest into docs/");
}

/// Its samples of output are compared by their words, without numbers and names.
#[test]
fn messages_in_the_readme_are_those_of_the_programs() {
    fn source(folder: &Path) -> String {
        let entries = folder
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let texts = entries.map(|path| {
            if path.is_dir() {
                source(&path)
            } else {
                std::fs::read_to_string(path).unwrap()
            }
        });
        texts.collect()
    }
    let source = source(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let words = regex::Regex::new(r"\b[a-z][a-z ]{10,}[a-z]\b").unwrap();
    let readme = text("README.md");
    let is_sample = |line: &&str| {
        let name = line.trim_start().split(": ").next().unwrap_or_default();
        line.starts_with("    ") && STAGES.iter().any(|stage| stage.name == name)
    };
    let mut checked = 0;
    for line in readme.lines().filter(is_sample) {
        for said in words.find_iter(line).map(|found| found.as_str()) {
            assert!(source.contains(said), "no program says {said:?}: {line}");
            checked += 1;
        }
    }
    assert!(checked >= 3, "{checked}");
}

/// No command and no sentence is written twice.
#[test]
fn no_line_is_in_two_documents() {
    let mut seen = BTreeMap::new();
    for path in written().filter(|path| !path.starts_with("man/")) {
        for line in text(path)
            .lines()
            .map(str::trim)
            .filter(|line| line.len() > 60)
        {
            let other = seen.insert(line.to_owned(), path);
            let is_first = other.is_none_or(|other| other == path);
            assert!(is_first, "{path} and {other:?}: {line}");
        }
    }
}

/// The name of a heading in a link, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn links_lead_to_files_and_headings_that_exist() {
    let link = regex::Regex::new(r"\]\(([^)#]*)#?([^)]*)\)").unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut checked = 0;
    for path in written().filter(|path| !path.starts_with("man/")) {
        let folder = root.join(path).parent().unwrap().to_owned();
        for link in link.captures_iter(&text(path)) {
            let (file, heading) = (&link[1], &link[2]);
            if file.contains("://") {
                continue;
            }
            let target = if file.is_empty() {
                root.join(path)
            } else {
                folder.join(file)
            };
            assert!(target.exists(), "{path} links to {file}");
            checked += 1;
            let target = std::fs::read_to_string(target).unwrap();
            let mut headings = target.lines().filter_map(|line| line.strip_prefix("## "));
            let is_there = headings.any(|there| anchor(there) == heading);
            assert!(
                heading.is_empty() || is_there,
                "{path} links to {file}#{heading}"
            );
        }
    }
    assert!(checked > 10, "{checked}");
}

#[test]
fn the_readme_has_the_table_of_programs() {
    let readme = text("README.md");
    let rows = table(&readme, "| program | reads | writes | touches |");
    let expected: Vec<String> = STAGES
        .iter()
        .map(|s| {
            format!(
                "| `{}` | {} | {} | {} |",
                s.name, s.reads, s.writes, s.touches
            )
        })
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn the_readme_has_the_table_of_exit_statuses() {
    let readme = text("README.md");
    let rows = table(&readme, "| exit status | means | then |");
    let expected: Vec<String> = STATUSES
        .iter()
        .map(|status| format!("| {} | {} | {} |", status.code, status.means, status.then))
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn every_man_page_has_every_exit_status() {
    for stage in STAGES {
        let path = format!("man/{}.1", stage.name);
        let page = page(&path);
        let (_, section) = page
            .split_once(".SH \"EXIT STATUS\"")
            .unwrap_or_else(|| panic!("{path}"));
        for status in STATUSES {
            let entry = format!(
                ".TP\n{}\n{}. To do: {}.\n",
                status.code, status.means, status.then
            );
            assert!(section.contains(&entry), "{path}: {entry}");
        }
    }
}

/// Returns the files of a folder whose names the filter accepts.
fn files(folder: &Path, takes: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    let taken = named.filter(|(name, _)| takes(name));
    taken
        .map(|(name, path)| (name, std::fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn man_pages_and_completions_are_those_of_the_programs() {
    let made = folder();
    let (man, completions) = (made.path().join("man"), made.path().join("completions"));
    let output = Command::new(program("examples/manual"))
        .args([&man, &completions])
        .output();
    let output = output.expect("examples/manual: build it with cargo build --examples");
    assert!(output.status.success(), "{output:?}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (made, kept, end) in [(man, "man", ".1"), (completions, "completions", "")] {
        let (made, kept_files) = (
            files(&made, |_| true),
            files(&root.join(kept), |name| name.ends_with(end)),
        );
        let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&made), names(&kept_files), "{kept}");
        for (name, text) in made {
            assert!(
                kept_files[&name] == text,
                "{kept}/{name} is old: cargo run --example manual -- man completions"
            );
        }
    }
}

/// Returns the long flags of a program.
fn flags(stage: &Stage) -> BTreeSet<String> {
    let mut command = (stage.command)();
    command.build();
    // Former names are hidden.
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let long = shown.filter_map(|arg| arg.get_long());
    long.map(|long| format!("--{long}")).collect()
}

/// Returns the words of a text that look like long flags.
fn flags_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let flags = words.filter(|word| word.len() > 3 && word.starts_with("--"));
    flags.map(String::from).collect()
}

#[test]
fn every_flag_is_documented_everywhere() {
    for stage in STAGES {
        let flags = flags(stage);
        assert!(
            flags.contains("--rejects") && flags.contains("--help"),
            "{flags:?}"
        );
        let help = Command::new(program(stage.name))
            .arg("--help")
            .output()
            .unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        let name = stage.name;
        let fish = text(&format!("completions/{name}.fish")).replace("-l ", "--");
        for (place, text) in [
            (format!("{name} --help"), help),
            (format!("man/{name}.1"), page(&format!("man/{name}.1"))),
            (
                format!("completions/{name}.bash"),
                text(&format!("completions/{name}.bash")),
            ),
            (
                format!("completions/_{name}"),
                text(&format!("completions/_{name}")),
            ),
            (format!("completions/{name}.fish"), fish),
        ] {
            let there = flags_in(&text);
            let missing: Vec<_> = flags.difference(&there).collect();
            assert!(missing.is_empty(), "{place}: {missing:?}");
        }
    }
}

/// Returns the code blocks of a document.
fn blocks(document: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in document.lines() {
        match (
            &mut block,
            line.starts_with("```")
                || line == ".EX"
                || line == ".EE"
                || line == ".nf"
                || line == ".fi",
        ) {
            (None, true) => block = Some(String::new()),
            (Some(_), true) => blocks.extend(block.take()),
            (Some(block), false) => block.extend([line, "\n"]),
            (None, false) => {}
        }
    }
    blocks
}

/// Splits shell code into commands and words; a quoted text is one word.
fn commands(shell: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word = String::new();
    let mut quote = None;
    let joined = shell.replace("\\\n", " ");
    for character in joined.chars().chain(['\n']) {
        match (quote, character) {
            (Some(open), close) if open == close => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (None, ' ' | '\n' | '|' | ';' | '&' | '(' | ')' | '<' | '>') => {
                if !word.is_empty() {
                    commands.last_mut().unwrap().push(std::mem::take(&mut word));
                }
                if !matches!(character, ' ' | '<' | '>') {
                    commands.push(Vec::new());
                }
            }
            (_, character) => word.push(character),
        }
    }
    commands.retain(|command| !command.is_empty());
    commands
}

/// Commands with our programs use flags that these have.
fn check_commands(place: &str, shell: &str) -> usize {
    let mut checked = 0;
    for command in commands(shell) {
        let assigned = |word: &&String| word.contains('=') && !word.starts_with('-');
        let mut words = command.iter().skip_while(assigned);
        let Some(stage) = words
            .next()
            .and_then(|name| STAGES.iter().find(|s| s.name == name))
        else {
            continue;
        };
        checked += 1;
        let known = flags(stage);
        for flag in words.filter(|word| word.starts_with("--")) {
            let flag = flag.split('=').next().unwrap_or_default();
            assert!(
                known.contains(flag),
                "{place}: {} has no {flag}: {command:?}",
                stage.name
            );
        }
    }
    checked
}

/// Returns what is written for readers, and the examples of each `--help`.
fn documents() -> Vec<(String, String)> {
    let mut documents: Vec<_> = written()
        .map(|name| (name.to_owned(), page(name)))
        .collect();
    for stage in STAGES {
        let help = (stage.command)().get_before_help().map(ToString::to_string);
        let help = help.unwrap_or_else(|| panic!("{} has no examples", stage.name));
        documents.push((
            format!("{} --help", stage.name),
            format!("```\n{help}\n```\n"),
        ));
    }
    documents
}

/// jq finds no key in a mark, and sort takes it out of its place.
#[test]
fn sources_before_filters_of_records_leave_marks_out() {
    let source = r"(?:s3-list|s3-inventory|kinto-export) [^|]*\|\s*";
    let filter = r"(?:jq|head|tail|sort|shuf|wc|split|uniq)\b[^|]*";
    let pipe = regex::Regex::new(&format!("{source}{filter}")).unwrap();
    let mut checked = 0;
    for (place, document) in documents() {
        for block in blocks(&document) {
            for found in pipe.find_iter(&block).map(|found| found.as_str()) {
                let knows_marks = found.contains("--no-marks") || found.contains(".mark");
                assert!(knows_marks, "{place}: {found}");
                checked += 1;
            }
        }
    }
    assert!(checked >= 8, "{checked}");
}

#[test]
fn commands_in_the_docs_use_existing_flags() {
    for (place, document) in documents() {
        let blocks = blocks(&document);
        let checked: usize = blocks
            .iter()
            .map(|block| check_commands(&place, block))
            .sum();
        let has_some = ["README.md", "docs/recipes.md", "man/bh-pipes.7"].contains(&&*place);
        assert!(
            checked > 0 || !(has_some || place.ends_with("--help")),
            "{place}: no command was found"
        );
    }
}

#[test]
fn scripts_and_pages_named_in_the_docs_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for path in written() {
        let page = page(path);
        let words = page.split(|c: char| c.is_whitespace() || "`(),;[]\"'".contains(c));
        for word in words.map(|word| word.trim_end_matches(['.', ':'])) {
            if word.starts_with("scripts/") && !word.contains('*') {
                assert!(root.join(word).exists(), "{path} names {word}");
            }
            if let Some(name) = word.strip_prefix("man/").filter(|name| !name.contains('*')) {
                assert!(root.join("man").join(name).exists(), "{path} names {word}");
            }
        }
    }
}

/// `file.rs` `name`, and in a list `file.rs` `name`, `name`.
#[test]
fn the_walks_name_code_that_exists() {
    let walks = text("docs/walk.md");
    let place = regex::Regex::new(r"`([\w/]+\.rs)`((?:,?\s+`\w+`)*)").unwrap();
    let name = regex::Regex::new(r"\w+").unwrap();
    let mut checked = 0;
    for place in place.captures_iter(&walks) {
        let code = text(&format!("src/{}", &place[1]));
        for name in name.find_iter(&place[2]).map(|name| name.as_str()) {
            let kinds = ["fn", "struct", "enum", "trait", "const"];
            let is_defined = kinds.iter().any(|kind| {
                let definition = format!(r"\b{kind} {name}\b");
                regex::Regex::new(&definition).unwrap().is_match(&code)
            });
            assert!(is_defined, "docs/walk.md: {} has no {name}", &place[1]);
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked}");
}
