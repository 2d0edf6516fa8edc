//! The blocks of a document, and a folder in which they run.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::faulty::Faulty;
use crate::harness::{folder, left_out, program};
use crate::s3_inventory::manifests::manifest;
use crate::s3_inventory::{encoded, gzip};

pub const DOCUMENTS: [&str; 9] = [
    "README.md",
    "docs/compatibility.md",
    "docs/limits.md",
    "docs/security.md",
    "docs/listing.md",
    "docs/performance.md",
    "docs/protocol.md",
    "docs/recipes.md",
    "docs/walk.md",
];

/// The keys of scripts/sample-bucket.
pub const KEYS: usize = 3169;

pub struct Block {
    pub section: String,
    /// What stands after the fence.
    pub kind: String,
    pub text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn blocks(document: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(root().join(document)).unwrap();
    let (mut section, mut blocks, mut open) = (String::new(), Vec::new(), None::<Block>);
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(kind)) => {
                open = Some(Block {
                    section: section.clone(),
                    kind: kind.to_owned(),
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text.extend([line, "\n"]),
            (None, None) => {
                if let Some(heading) = line.strip_prefix("## ") {
                    heading.clone_into(&mut section);
                }
            }
        }
    }
    assert!(open.is_none(), "{document}: a block is not closed");
    blocks
}

/// Returns the sections that have blocks to run.
pub fn headings(blocks: &[Block]) -> impl Iterator<Item = &str> {
    let run = |block: &&Block| block.kind == "sh";
    let same = |a: &&Block, b: &&Block| a.section == b.section;
    let runs: Vec<&Block> = blocks.iter().filter(run).collect();
    let firsts: Vec<&str> = runs
        .chunk_by(same)
        .map(|blocks| &*blocks[0].section)
        .collect();
    firsts.into_iter()
}

/// The objects of the bucket: those of scripts/sample-bucket, and their inventory.
fn objects() -> &'static [Value] {
    static OBJECTS: OnceLock<Vec<Value>> = OnceLock::new();
    OBJECTS.get_or_init(|| {
        let folder = folder();
        let sample = Command::new(root().join("scripts/sample-bucket"))
            .arg(folder.path())
            .output()
            .unwrap();
        assert!(sample.status.success(), "{sample:?}");
        let mut objects = Vec::new();
        read_folder(&folder.path().join("archive"), "", &mut objects);
        assert_eq!(objects.len(), KEYS);
        let (rows, manifest) = inventory(&objects);
        for (key, bytes) in [
            ("inventories/all/data/1.csv.gz", rows),
            ("inventories/all/2026-11-21T01-00Z/manifest.json", manifest),
        ] {
            objects.push(object(key, &bytes));
        }
        objects
    })
}

fn object(key: &str, bytes: &[u8]) -> Value {
    json!({"key": key, "body_base64": BASE64_STANDARD.encode(bytes)})
}

fn read_folder(at: &Path, prefix: &str, objects: &mut Vec<Value>) {
    for entry in at.read_dir().unwrap() {
        let entry = entry.unwrap();
        let key = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            read_folder(&entry.path(), &format!("{key}/"), objects);
        } else {
            objects.push(object(&key, &std::fs::read(entry.path()).unwrap()));
        }
    }
}

/// Returns the file of an inventory, compressed, and its manifest.
fn inventory(objects: &[Value]) -> (Vec<u8>, Vec<u8>) {
    let row = |object: &Value| {
        let key = encoded(object["key"].as_str().unwrap());
        format!("\"archive\",\"{key}\",\"5\",\"2019-01-02T03:04:05.000Z\",\"e\"\n")
    };
    let rows = gzip([objects.iter().map(row).collect::<String>()]);
    let mut manifest = manifest(&[("inventories/all/data/1.csv.gz", &rows)]);
    manifest["sourceBucket"] = "archive".into();
    manifest["destinationBucket"] = "arn:aws:s3:::archive".into();
    (rows, manifest.to_string().into_bytes())
}

/// A folder with a bucket `archive`, in which the blocks of a section run.
pub struct Place {
    document: String,
    section: String,
    folder: TempDir,
    s3: Faulty,
    settings: Vec<(String, OsString)>,
    last: RefCell<Option<Output>>,
}

impl Place {
    /// Returns `None` if a program of others that the section uses is not installed.
    pub fn new(document: &str, section: &str) -> Option<Self> {
        let place = Self {
            document: document.to_owned(),
            section: section.to_owned(),
            folder: folder(),
            s3: Faulty::start(objects(), &["--bucket", "archive"]),
            settings: vec![("DATABASE_URL".to_owned(), "sqlite:builds.db".into())],
            last: RefCell::new(None),
        };
        let text: String = Self::blocks((document, section)).collect();
        let path = std::env::var_os("PATH").unwrap();
        for tool in ["aws", "jq", "rclone", "s5cmd", "sqlite3"] {
            let mut folders = std::env::split_paths(&path);
            if text.contains(tool) && !folders.any(|folder| folder.join(tool).is_file()) {
                left_out(tool);
                return None;
            }
        }
        // The checkout's folders are where a reader of its documents has them.
        for name in ["completions", "kinto", "man", "scripts"] {
            std::os::unix::fs::symlink(root().join(name), place.path(name)).unwrap();
        }
        let (rows, manifest) = inventory(&objects()[..KEYS]);
        place.write("inventory/1.csv.gz", &rows);
        place.write("inventory/manifest.json", &manifest);
        Some(place)
    }

    /// Returns the blocks to run of a section of a document.
    fn blocks((document, section): (&str, &str)) -> impl Iterator<Item = String> {
        let here = |block: &Block| block.section == section && block.kind == "sh";
        let all = blocks(document).into_iter().filter(here);
        all.map(|block| block.text).collect::<Vec<_>>().into_iter()
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.push((name.to_owned(), value.into()));
    }

    /// Puts a program of ours into the PATH that has these arguments already.
    pub fn replace_program(&self, name: &str, arguments: &str) {
        let (real, script) = (program(name), self.path("bin").join(name));
        let text = format!("#!/bin/sh\nexec {} {arguments} \"$@\"\n", real.display());
        self.write(&format!("bin/{name}"), text.as_bytes());
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(script, executable).unwrap();
    }

    /// Replaces the inventory by this one.
    pub fn inventory_of(&self, rows: &str) {
        self.write("inventory/1.csv.gz", &gzip([rows]));
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Runs these blocks one after the other, and returns their statuses.
    fn statuses(&self, texts: impl Iterator<Item = String>) -> Vec<i32> {
        // A block fails with the last of its pipelines that does.
        let mut script = "set -o pipefail; trap 'failed=$?' ERR\n".to_owned();
        for (number, text) in texts.enumerate() {
            let name = format!(".block-{number}");
            self.write(&name, text.as_bytes());
            script += &format!("failed=0; . ./{name}\necho $failed >>.statuses\n");
        }
        drop(std::fs::remove_file(self.path(".statuses")));
        let mut path = vec![self.path("bin")];
        path.push(program("s3-list").parent().unwrap().to_owned());
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
        let url = &self.s3.url;
        let output = Command::new("bash")
            .args(["-c", &script])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .env_clear()
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("HOME", self.folder.path())
            .envs([
                ("AWS_ENDPOINT_URL", &**url),
                ("S3_ENDPOINT_URL", url),
                ("AWS_REGION", "us-east-1"),
                ("AWS_ACCESS_KEY_ID", "key"),
                ("AWS_SECRET_ACCESS_KEY", "secret"),
                ("AWS_EC2_METADATA_DISABLED", "true"),
                ("RCLONE_CONFIG_REMOTE_TYPE", "s3"),
                ("RCLONE_CONFIG_REMOTE_PROVIDER", "Other"),
                ("RCLONE_CONFIG_REMOTE_ENV_AUTH", "true"),
                ("RCLONE_CONFIG_REMOTE_LIST_VERSION", "2"),
                ("RCLONE_CONFIG_REMOTE_ENDPOINT", url),
            ])
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        self.last.replace(Some(output));
        let statuses = self.read(".statuses");
        statuses.lines().map(|line| line.parse().unwrap()).collect()
    }

    /// Runs the first `count` blocks of a section, whatever their statuses.
    pub fn run(&self, section: (&str, &str), count: usize) {
        self.statuses(Self::blocks(section).take(count));
    }

    /// Runs all blocks, and asserts how they exit.
    #[track_caller]
    pub fn exits(&self, expected: &[i32]) {
        let statuses = self.statuses(Self::blocks((&self.document, &self.section)));
        assert_eq!(statuses, expected, "{self}");
    }

    #[track_caller]
    pub fn prints(&self, text: &str) {
        let output = self.last.borrow();
        let printed = String::from_utf8_lossy(&output.as_ref().unwrap().stdout).into_owned();
        assert!(printed.contains(text), "{text:?} is not printed: {self}");
    }

    #[track_caller]
    pub fn says(&self, text: &str) {
        let output = self.last.borrow();
        let said = String::from_utf8_lossy(&output.as_ref().unwrap().stderr).into_owned();
        assert!(said.contains(text), "{text:?} is not said: {self}");
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Returns the number of records in a file, without the marks.
    pub fn records(&self, name: &str) -> usize {
        let text = self.read(name);
        let records = text.lines().filter(|line| !line.starts_with(r#"{"mark":"#));
        records.count()
    }

    fn count(&self, query: &str) -> i64 {
        let database = rusqlite::Connection::open(self.path("builds.db")).unwrap();
        database.query_row(query, [], |row| row.get(0)).unwrap()
    }

    pub fn rows(&self) -> i64 {
        self.count("SELECT count(*) FROM main_build")
    }

    pub fn rows_below(&self, product: &str) -> i64 {
        self.count(&format!(
            "SELECT count(*) FROM main_build WHERE s3_object_key LIKE 'pub/{product}/%'"
        ))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {}", self.document, self.section)?;
        let output = self.last.borrow();
        let Some(output) = &*output else {
            return Ok(());
        };
        let (out, err) = (&output.stdout, &output.stderr);
        let out: String = String::from_utf8_lossy(out).chars().take(4000).collect();
        writeln!(
            f,
            "--- stdout\n{out}--- stderr\n{}",
            String::from_utf8_lossy(err)
        )
    }
}
