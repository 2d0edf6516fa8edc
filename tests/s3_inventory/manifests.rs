//! Local manifests, and manifests in a bucket.

use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::{encoded, files::parquet_file, gzip, inventory, records, rows, write};
use crate::harness::faulty::{Faulty, object};
use crate::harness::minio::Bucket;
use crate::harness::{Tool, folder};

pub fn md5(bytes: &[u8]) -> String {
    let digest = Md5::digest(bytes);
    let bytes = digest.iter();
    bytes.fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// The manifest of these files.
pub fn manifest(files: &[(&str, &[u8])]) -> Value {
    let files: Vec<_> = files
        .iter()
        .map(|(key, bytes)| json!({"key": key, "size": bytes.len(), "MD5checksum": md5(bytes)}))
        .collect();
    json!({
        "sourceBucket": "b",
        "destinationBucket": "arn:aws:s3:::somewhere",
        "version": "2016-11-30",
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, Size, LastModifiedDate, ETag",
        "files": files,
    })
}

#[test]
fn files_are_checked_against_a_local_manifest() {
    let folder = folder();
    let at = folder.path();
    let first = gzip([rows(0..500), rows(500..1000)]);
    let second = gzip([rows(1000..1500)]);
    let files: [(&str, &[u8]); 2] = [
        ("inv/data/one.csv.gz", &first),
        ("inv/data/two.csv.gz", &second),
    ];
    write(at, "copy/inv/data/one.csv.gz", &first);
    write(at, "copy/two.csv.gz", &second);
    let good = manifest(&files);
    let place = at.join("copy");
    let run = |manifest: &Value| {
        let file = write(at, "manifest.json", manifest.to_string());
        inventory().arg("--files").arg(&place).arg(file).run()
    };
    let whole = run(&good).exits(0);
    assert_eq!(whole.records(), records(0..1500));
    assert_eq!(whole.listing().parts.len(), 2);

    let changed = |pointer: &str, value: Value| {
        let mut manifest = good.clone();
        *manifest.pointer_mut(pointer).unwrap() = value;
        manifest
    };
    let wrong = |pointer, value, said: &str, marks: usize| {
        let run = run(&changed(pointer, value)).exits(78).says(said);
        let listing = run.listing();
        assert_eq!((listing.parts.len(), listing.end), (marks, None), "{run}");
    };
    let two = place.join("two.csv.gz");
    wrong(
        "/files/1/MD5checksum",
        json!(md5(b"x")),
        &format!(
            "{}: has the MD5 {}, and its manifest says",
            two.display(),
            md5(&second)
        ),
        1,
    );
    let length = second.len();
    wrong(
        "/files/1/size",
        json!(length + 1),
        &format!(
            "two.csv.gz: has {length} bytes, and its manifest says {}",
            length + 1
        ),
        1,
    );
    wrong("/files/0/size", json!(3), "one.csv.gz: has", 0);
    wrong(
        "/files/0/key",
        json!("inv/nothing"),
        "nothing: no such file",
        0,
    );
    wrong(
        "/fileSchema",
        json!("Bucket, Size"),
        "manifest.json: the column Key is missing",
        0,
    );
    wrong(
        "/fileFormat",
        json!("ORC"),
        "manifest.json: its files are ORC",
        0,
    );
    wrong(
        "/files",
        json!(3),
        "manifest.json: not the manifest of an inventory",
        0,
    );
    let upper = changed("/files/0/MD5checksum", json!(md5(&first).to_uppercase()));
    run(&upper).exits(0);
    // The schema names the columns.
    let other = changed(
        "/fileSchema",
        json!("Bucket, Key, Size, StorageClass, VersionId"),
    );
    let records = run(&other).exits(0).records();
    assert_eq!(
        records[3],
        json!({"bucket": "b", "key": super::key(3), "size": 3})
    );
}

/// An inventory's folder in a bucket: the newest is of 1,000 rows.
fn published(bucket: &Bucket) {
    let first = gzip([rows(0..300), rows(300..600)]);
    let second = gzip([rows(600..1000)]);
    let old = gzip([rows(0..2)]);
    let parts: [(&str, &[u8]); 2] = [
        ("inv/all/data/1.csv.gz", &first),
        ("inv/all/data/2.csv.gz", &second),
    ];
    let newest = manifest(&parts).to_string();
    let older = manifest(&[("inv/all/data/0.csv.gz", &old)]).to_string();
    let checksum = md5(newest.as_bytes()) + "\n";
    let text = |key: &str, text: &str| (key.to_owned(), text.as_bytes().to_vec());
    bucket.put_all([
        ("inv/all/data/0.csv.gz".to_owned(), old.clone()),
        ("inv/all/data/1.csv.gz".to_owned(), first.clone()),
        ("inv/all/data/2.csv.gz".to_owned(), second.clone()),
        text("inv/all/2019-03-01T00-00Z/manifest.json", &older),
        text("inv/all/2019-10-02T00-00Z/manifest.json", &newest),
        text("inv/all/2019-10-02T00-00Z/manifest.checksum", &checksum),
        text("inv/all/2019-10-02/manifest.json", &older),
        text("inv/all/2020-later/manifest.json", &older),
        text("inv/all/hive/dt=2029-10-02-00-00/symlink.txt", "x"),
        text("inv/all/2029-10-02T00-00Z", "no folder"),
        text("inv/allmost/2029-10-02T00-00Z/manifest.json", &older),
    ]);
}

#[test]
fn a_manifest_or_the_latest_inventory_is_read_from_a_bucket() {
    let Some(bucket) = Bucket::new() else {
        return;
    };
    published(&bucket);
    let at = |rest: &str| format!("{}/{rest}", bucket.url());
    let tool = |args: &[&str]| bucket.tool("s3-inventory").args(args.iter().copied());
    for args in [
        ["--", &at("inv/all/2019-10-02T00-00Z/manifest.json")],
        ["--latest", &at("inv/all/")],
        ["--latest", &at("inv/all")],
    ] {
        let run = tool(&args).run().exits(0);
        assert_eq!(run.records(), records(0..1000));
        assert_eq!(run.listing().parts.len(), 2);
        assert!(
            run.told()[0].starts_with("s3-inventory: 1000 in = 1000 out"),
            "{run}"
        );
    }
    // A single file, and a manifest in another place.
    let run = tool(&[&at("inv/all/data/2.csv.gz")]).run().exits(0);
    assert_eq!(run.records(), records(600..1000));
    let older = [
        "--files",
        &at(""),
        &at("inv/all/2019-03-01T00-00Z/manifest.json"),
    ];
    assert_eq!(tool(&older).run().exits(0).records(), records(0..2));
    for (args, status, said) in [
        (
            vec!["--latest", &*at("inv/")],
            78,
            "no folder here is named like",
        ),
        (
            vec!["--latest", "inv/all/"],
            2,
            "expected s3://bucket/prefix/",
        ),
        (vec![&*at("inv/all/")], 2, "--latest finds the newest one"),
        (vec![&*at("inv/nothing.json")], 78, "not found"),
        (
            vec!["s3://no-such-bucket-here/manifest.json"],
            78,
            "no such bucket",
        ),
        (
            vec!["--latest", &*at("inv/all/"), "-"],
            2,
            "cannot be used with",
        ),
    ] {
        tool(&args).run().exits(status).prints_nothing().says(said);
    }
    // A resumed run keeps its inventory when a newer one exists.
    let folder = folder();
    let kept = folder.path().join("manifest.json");
    let keeping = [
        "--latest",
        &at("inv/all/"),
        "--keep-manifest",
        kept.to_str().unwrap(),
    ];
    tool(&keeping).run().exits(0);
    let one = gzip([rows(0..2)]);
    let newer = manifest(&[("inv/all/data/0.csv.gz", &one)]).to_string();
    let newer_key = "inv/all/2019-10-03T00-00Z/manifest.json";
    bucket.put_all([(newer_key.to_owned(), newer.into_bytes())]);
    let run = tool(&["--latest", &at("inv/all/")]).run().exits(0);
    assert_eq!(run.records(), records(0..2));
    let run = tool(&keeping).run().exits(0);
    assert_eq!(run.records(), records(0..1000));
    bucket.delete(newer_key);
    bucket.delete("inv/all/data/2.csv.gz");
    let run = tool(&["--latest", &at("inv/all/")]).run().exits(78);
    assert_eq!(run.listing().parts.len(), 1);
    run.says("get s3://")
        .says("inv/all/data/2.csv.gz at http://")
        .says(": not found");
}

#[test]
fn a_local_manifest_reads_its_files_from_the_bucket() {
    let Some(bucket) = Bucket::new() else {
        return;
    };
    let keys: Vec<_> = (0..100).map(|n| (format!("{n}"), true, false)).collect();
    let bytes = parquet_file(&keys, true);
    bucket.put("inv/x.parquet", bytes.clone());
    let folder = folder();
    let mut manifest = manifest(&[("inv/x.parquet", &bytes)]);
    manifest["fileFormat"] = json!("Parquet");
    manifest["fileSchema"] = json!("message s3.inventory { ... }");
    manifest["destinationBucket"] = json!(format!("arn:aws:s3:::{}", bucket.name));
    let run = |manifest: &Value| {
        let file = write(folder.path(), "manifest.json", manifest.to_string());
        bucket.tool("s3-inventory").arg(file).run()
    };
    let whole = run(&manifest).exits(0);
    assert_eq!(
        (whole.records().len(), whole.listing().parts.len()),
        (100, 1)
    );
    manifest["files"][0]["MD5checksum"] = json!(md5(b"x"));
    run(&manifest)
        .exits(78)
        .prints_nothing()
        .says("x.parquet: has the MD5");
    manifest["destinationBucket"] = Value::Null;
    run(&manifest)
        .exits(78)
        .says("does not name the bucket of its files");
}

/// Files are recognised by their content, so plain text works as well.
pub fn mozilla(name: &str, flags: &[&str]) -> Faulty {
    let root = format!("public/inventories/net-mozaws-prod-delivery-{name}/delivery-{name}");
    let listed = format!("net-mozaws-prod-delivery-{name}");
    let text = rows(0..20_000).replace("\"b\"", &format!("\"{listed}\""));
    let key = format!("inventories/net-mozaws-prod-delivery-{name}/delivery-{name}/data/1.csv");
    let mut manifest = manifest(&[(&key, text.as_bytes())]);
    manifest["sourceBucket"] = json!(listed);
    let objects = [
        object(&format!("public/{key}"), &text),
        object(
            &format!("{root}/2019-10-02T00-00Z/manifest.json"),
            &manifest.to_string(),
        ),
        object(&format!("{root}/hive/dt=2029/symlink.txt"), "x"),
    ];
    let bucket = "net-mozaws-prod-delivery-inventory-us-east-1";
    Faulty::start(&objects, &[&["--bucket", bucket], flags].concat())
}

/// The records of an inventory of Mozilla's.
fn of(name: &str) -> Vec<Value> {
    let mut records = records(0..20_000);
    for record in &mut records {
        record["bucket"] = json!(format!("net-mozaws-prod-delivery-{name}"));
    }
    records
}

#[test]
fn mozillas_inventories_are_presets_with_unsigned_requests() {
    for name in ["firefox", "archive"] {
        let server = mozilla(name, &[]);
        let tool = || Tool::new("s3-inventory").args(["--endpoint-url", &server.url]);
        let run = tool().args(["--mozilla", name]).run().exits(0);
        assert_eq!(run.records(), of(name));
        let other = if name == "firefox" {
            "archive"
        } else {
            "firefox"
        };
        tool()
            .args(["--mozilla", other])
            .run()
            .exits(78)
            .says("no folder here");
    }
    inventory().args(["--mozilla", "other"]).run().exits(2);
}

#[test]
fn an_interrupted_download_resumes_where_it_broke() {
    let server = mozilla(
        "firefox",
        &["--cut", "60", "--error-500", "20", "--most", "3"],
    );
    let tool = Tool::new("s3-inventory").args(["--endpoint-url", &server.url]);
    let run = tool.args(["--mozilla", "firefox"]).run().exits(0);
    assert_eq!(run.records(), of("firefox"));
    assert!(run.count("/notes/retries") > 0, "{run}");
    assert_eq!(encoded("a"), "a");
}
