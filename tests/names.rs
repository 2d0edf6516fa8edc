//! One name for one type: a reader who meets a name in two files may take both for the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Each program has its own, which others name with its module: `bh_filter::Args`.
const SHARED: [&str; 1] = ["Args"];

/// Every Rust file below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| {
        if path.is_dir() {
            files(&path)
        } else {
            vec![path]
        }
    };
    let files = entries.flat_map(below);
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// Returns the name of the type that a line declares, if other files can see it.
fn visible_type(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    words.next().filter(|word| word.starts_with("pub"))?;
    let mut words = words.skip_while(|word| word.ends_with(')'));
    words
        .next()
        .filter(|word| ["struct", "enum", "trait", "type", "union"].contains(word))?;
    words.next()?.split(['<', '(', '{', ';', ':', '=']).next()
}

#[test]
fn types_that_other_files_see_have_different_names() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut places = BTreeMap::<String, Vec<String>>::new();
    for file in files(&src) {
        let text = std::fs::read_to_string(&file).unwrap();
        let place = file.strip_prefix(&src).unwrap().display();
        for name in text.lines().filter_map(visible_type) {
            places
                .entry(name.to_owned())
                .or_default()
                .push(place.to_string());
        }
    }
    assert!(places.len() > 100, "{places:?}");
    places.retain(|name, places| places.len() > 1 && !SHARED.contains(&name.as_str()));
    assert!(places.is_empty(), "{places:#?}");
}
