//! The commit that `--version` names, where git knows one: `COMMIT` is empty
//! in a source package or without git.

use std::process::Command;

fn main() {
    // A new commit alone changes no program, so git's files are not watched:
    // its name comes with the next change of what is compiled.
    for path in ["Cargo.lock", "Cargo.toml", "kinto", "schema.yaml", "src"] {
        println!("cargo::rerun-if-changed={path}");
    }
    println!("cargo::rustc-env=COMMIT={}", commit().unwrap_or_default());
}

/// Returns ` (HASH)`, or ` (HASH-dirty)` if files differ from that commit.
fn commit() -> Option<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let described = Command::new("git")
        .args([
            "describe",
            "--always",
            "--dirty",
            "--abbrev=12",
            "--exclude=*",
        ])
        .current_dir(root)
        // A repository around a source package is another project's.
        .env("GIT_CEILING_DIRECTORIES", root.parent()?)
        .output()
        .ok()?;
    let text = String::from_utf8(described.stdout).ok()?;
    let hash = text.trim();
    (described.status.success() && !hash.is_empty()).then(|| format!(" ({hash})"))
}
