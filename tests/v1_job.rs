//! scripts/latest-inventory-to-kinto: from the inventories of the archive to
//! records in a real Kinto.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::bh_derive::cases::{BASE, cases, mended};
use crate::harness::archive::Archive;
use crate::harness::faulty::{Faulty, object};
use crate::harness::kinto::Kinto;
use crate::harness::{folder, lines, program};
use crate::s3_inventory::manifests::md5;

/// Serves Mozilla's bucket with an inventory of `rows` per name.
fn inventories(rows: [(&str, String); 2]) -> Faulty {
    let objects = rows.into_iter().flat_map(|(name, rows)| {
        let root = format!("inventories/net-mozaws-prod-delivery-{name}/delivery-{name}");
        let key = format!("{root}/data/1.csv");
        let manifest = json!({
            "fileFormat": "CSV",
            "fileSchema": "Bucket, Key, Size, LastModifiedDate, ETag",
            "files": [{"key": key, "size": rows.len(), "MD5checksum": md5(rows.as_bytes())}],
        });
        [
            object(&format!("public/{key}"), &rows),
            object(
                &format!("public/{root}/2019-10-02T00-00Z/manifest.json"),
                &manifest.to_string(),
            ),
            object(&format!("public/{root}/hive/dt=2029/symlink.txt"), "x"),
        ]
    });
    let bucket = "net-mozaws-prod-delivery-inventory-us-east-1";
    Faulty::start(&objects.collect::<Vec<_>>(), &["--bucket", bucket])
}

struct Job {
    kinto: Kinto,
    s3: Faulty,
    archive: Archive,
}

impl Job {
    fn run(&self, folder: &Path, more: &[(&str, &str)]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
        let programs = program("s3-list").parent().unwrap().display().to_string();
        let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
        Command::new(script.join("latest-inventory-to-kinto"))
            .current_dir(folder)
            .env_clear()
            .env("PATH", path)
            .env("AWS_ENDPOINT_URL_S3", &self.s3.url)
            .env("ARCHIVE_URL", &self.archive.url)
            .env("NB_RETRY_REQUEST", "2")
            .env("SERVER_URL", &self.kinto.url)
            .env("AUTH", &self.kinto.auth)
            .envs(more.iter().copied())
            .output()
            .unwrap()
    }
}

#[test]
fn the_latest_inventories_are_loaded_into_kinto() {
    let Some(mut kinto) = Kinto::without_bucket() else {
        return;
    };
    // The bucket of the built-in manifest.
    "build-hub".clone_into(&mut kinto.bucket);
    let lock = kinto.lock_buckets();
    kinto.ask("DELETE", &kinto.bucket_path(), None);
    let all = cases("pipeline");
    let case = all.iter().find(|case| case.name == "wide").unwrap();
    let rows = case.text("inventory.csv");
    let rows: Vec<&str> = rows.split_inclusive('\n').collect();
    let (first, second) = rows.split_at(rows.len() / 2);
    let job = Job {
        kinto,
        s3: inventories([("firefox", first.concat()), ("archive", second.concat())]),
        archive: case.archive(),
    };
    let (_, expected) = mended("wide", &case.text("expected.ndjson"));
    let expected = expected.replace(BASE, &job.archive.url);
    let expected: BTreeMap<String, Value> = lines(expected.as_bytes())
        .into_iter()
        .map(|line| {
            let mut record = line["data"].clone();
            let id = record.as_object_mut().unwrap().remove("id").unwrap();
            (id.as_str().unwrap().to_owned(), record)
        })
        .collect();

    let folder = folder();
    let done = job.run(folder.path(), &[("STORE_DAILY_MANIFEST", "true")]);
    drop(lock);
    assert_eq!(done.status.code(), Some(65), "{done:?}");
    assert_eq!(job.kinto.stored(), expected, "{done:?}");
    let kept = |name: &str| {
        let entries = folder.path().read_dir().unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|file| file.ends_with(name)).count()
    };
    assert_eq!((kept("-firefox.json"), kept("-archive.json")), (1, 1));
    for name in ["firefox", "archive"] {
        let rejects = folder
            .path()
            .join(format!("rejects/{name}/bh-derive.ndjson"));
        assert!(rejects.metadata().unwrap().len() > 0);
    }

    // Records that exist are not sent again.
    let done = job.run(folder.path(), &[("INITIALIZE_SERVER", "false")]);
    assert_eq!(done.status.code(), Some(65), "{done:?}");
    let told = String::from_utf8_lossy(&done.stderr);
    assert_eq!(told.matches(" = 0 stored").count(), 2, "{told}");
    // An id belongs to two archives: only the last one is compared.
    assert_eq!(told.matches("1 superseded").count(), 1, "{told}");
    assert_eq!(job.kinto.stored(), expected);

    for (variable, value, status) in [
        ("INITIALIZE_SERVER", "perhaps", 78),
        ("BUCKET", "other", 78),
        ("INVENTORIES", "nothing", 2),
        ("AUTH", "buildhub:wrong", 77),
    ] {
        let done = job.run(folder.path(), &[(variable, value)]);
        assert_eq!(done.status.code(), Some(status), "{variable}: {done:?}");
    }
}
