//! Files that others may read, or have put there.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::pipe;
use crate::bh_derive;
use crate::harness::archive::Archive;
use crate::harness::faulty::{Faulty, object};
use crate::harness::kinto::{self, StandIn};
use crate::harness::{Tool, folder};

const NOBODY: u32 = 65534;

type MakeTool<'a> = &'a dyn Fn(&Path) -> Tool;

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// Lets everybody write to a folder, as to /tmp.
fn share(folder: &Path) {
    fs::set_permissions(folder, Permissions::from_mode(0o1777)).unwrap();
}

fn derive(cache: &Path) -> Tool {
    let line = bh_derive::line(&bh_derive::key("en-US", "linux-x86_64")) + "\n";
    let archive = Archive::start(bh_derive::answers(&["linux-x86_64"]));
    let tool = Tool::new("bh-derive").args(["--archive-url", &archive.url, "--cache-folder"]);
    tool.arg(cache).input(line)
}

fn load_kinto(server: &StandIn, cache: &Path) -> Tool {
    let tool = Tool::new("kinto-load").args(["--server", &server.url, "--retries", "0"]);
    let tool = tool
        .arg("--skip-unchanged")
        .arg("--cache-folder")
        .arg(cache);
    tool.input(format!("{}\n", json!({"data": kinto::release(0)})))
}

#[test]
fn every_file_is_made_by_the_umask() {
    let server = Faulty::start(&[object("k/buildhub.json", "{}")], &[]);
    let kinto = StandIn::new(|_, asked| Some(kinto::answer(3, asked)));
    for (umask, most) in [("077", 0o700), ("027", 0o750)] {
        let place = folder();
        let path = |name: &str| place.path().join(name);
        let run = |tool: Tool| {
            let shell = format!("umask {umask}; exec \"$@\"");
            tool.under(["sh", "-c", &shell, "sh"]).run()
        };
        let list = server.tool("s3-list").arg("s3://bench");
        let listed = run(list.arg("--resume-file").arg(path("list.json"))).stdout;
        let database = format!("sqlite:{}", path("b.db").display());
        let load = Tool::plain("bh-load").args(["--database", &database]);
        let load = load.arg("--rejects").arg(path("rejects.ndjson"));
        let load = load.arg("--summary").arg(path("summary.json"));
        let load = load.arg("--resume-file").arg(path("list.json"));
        run(load.input([b"[]\n", &*listed].concat()));
        run(derive(place.path())).exits(0);
        run(load_kinto(&kinto, place.path())).exits(0);
        let files = place.path().read_dir().unwrap();
        let files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() > 8, "{files:?}");
        for file in files {
            assert_eq!(mode(&file) & !most, 0, "{}", file.display());
        }
    }
}

#[test]
fn a_pipe_in_place_of_a_cache_is_not_waited_for() {
    let place = folder();
    pipe(&place.path().join(".bh-derive-metadata.ndjson"));
    let run = derive(place.path()).run().exits(74);
    run.says("bh-derive-metadata.ndjson: not a regular file; remove it");
    let place = folder();
    let server = StandIn::new(|_, asked| Some(kinto::answer(3, asked)));
    load_kinto(&server, place.path()).run().exits(0);
    let file = only_file(place.path());
    fs::remove_file(&file).unwrap();
    pipe(&file);
    let run = load_kinto(&server, place.path()).run().exits(0);
    run.says("not a regular file");
}

fn only_file(folder: &Path) -> PathBuf {
    let mut entries = folder.read_dir().unwrap();
    let path = entries.next().unwrap().unwrap().path();
    assert!(entries.next().is_none());
    path
}

/// What another user has put into a shared folder, as /tmp is, is neither read nor written.
#[test]
fn another_users_file_in_a_shared_folder_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let server = Faulty::start(&[object("k", "{}")], &[]);
    let home = folder();
    let victim = home.path().join("victim");
    let tools: [(&str, MakeTool); 6] = [
        ("list.json", &|path| {
            server
                .tool("s3-list")
                .arg("s3://bench")
                .arg("--resume-file")
                .arg(path)
        }),
        ("b.db", &|path| {
            Tool::new("bh-load")
                .arg("--database")
                .arg(format!("sqlite:{}", path.display()))
        }),
        ("b.db-wal", &|path| {
            let path = path.with_file_name("b.db");
            Tool::new("bh-load")
                .arg("--database")
                .arg(format!("sqlite:{}", path.display()))
        }),
        ("rejects", &|path| {
            Tool::new("bh-validate")
                .arg("--rejects")
                .arg(path)
                .input("[]\n")
        }),
        ("summary", &|path| {
            Tool::plain("bh-validate")
                .arg("--summary")
                .arg(path)
                .input("\n")
        }),
        (".bh-derive-metadata.ndjson", &|path| {
            derive(path.parent().unwrap())
        }),
    ];
    for (name, tool) in tools {
        let place = folder();
        share(place.path());
        let path = place.path().join(name);
        let refused = || {
            let run = tool(&path).run();
            assert!(matches!(run.status.code(), Some(74 | 78)), "{run}");
            run.says(name).says("belongs to another user");
            assert_eq!(fs::read_to_string(&victim).unwrap(), "precious\n");
        };
        fs::write(&victim, "precious\n").unwrap();
        symlink(&victim, &path).unwrap();
        lchown(&path, Some(NOBODY), None).unwrap();
        refused();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        chown(&path, Some(NOBODY), None).unwrap();
        refused();
    }
}

/// A cache says what need not be asked for, or sent, again.
#[test]
fn a_cache_of_another_user_is_not_believed() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let place = folder();
    derive(place.path()).run().exits(0);
    let file = place.path().join(".bh-derive-metadata.ndjson");
    chown(&file, Some(NOBODY), None).unwrap();
    derive(place.path())
        .run()
        .exits(74)
        .says("belongs to another user");
    fs::remove_file(&file).unwrap();
    let server = StandIn::new(|_, asked| Some(kinto::answer(3, asked)));
    load_kinto(&server, place.path()).run().exits(0);
    chown(only_file(place.path()), Some(NOBODY), None).unwrap();
    let run = load_kinto(&server, place.path()).run().exits(0);
    run.says("belongs to another user");
}

/// Others must not see the rows of a pipeline, nor change them.
#[test]
fn the_folder_of_the_progress_is_private() {
    let place = folder();
    share(place.path());
    let tool = Tool::new("bh-filter").env("TMPDIR", place.path());
    let tool = tool.args(["--database", "sqlite:none.db", "--progress-interval", "1"]);
    let (reader, writer) = std::io::pipe().unwrap();
    let started = tool.start_with(reader.into(), std::process::Stdio::null());
    let shared = || {
        let entries = place.path().read_dir().unwrap();
        let mut found = entries.map(|entry| entry.unwrap().path());
        found.find(|path| path.to_string_lossy().contains("buildhub-pipes-progress-"))
    };
    crate::harness::wait_for("the folder of the progress", || shared().is_some());
    let shared = shared().unwrap();
    assert_eq!(mode(&shared), 0o700);
    for entry in shared.read_dir().unwrap() {
        assert_eq!(mode(&entry.unwrap().path()) & 0o077, 0);
    }
    drop(writer);
    started.finish();
}
