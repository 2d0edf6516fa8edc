//! What does not fit is refused before a row is read.

use std::process::Stdio;

use serde_json::{Value, json};

use super::files::parquet_file;
use super::manifests::{manifest, md5, mozilla};
use super::{gzip, inventory, key, record, records, row, rows, write};
use crate::harness::fed::Fed;
use crate::harness::minio::Bucket;
use crate::harness::proxy::{Point, Proxy, Trap};
use crate::harness::{Tool, folder, wait_for};

#[test]
fn columns_that_do_not_fit_the_first_row_are_an_error() {
    let row = "\"b\",\"k\",\"12\",\"2026-01-01T00:00:00.000Z\",\"d41d\",\"STANDARD\",\"true\"\n";
    let rest = "LastModifiedDate, ETag, StorageClass, Flag";
    let folder = folder();
    for (columns, said) in [
        (
            "Bucket, Key, Size, ETag",
            "line 1: expected 4 columns, found 7",
        ),
        (
            &*format!("Bucket, Key, Size, {rest}, More"),
            "expected 8 columns, found 7",
        ),
        (
            &*format!("Bucket, Size, Key, {rest}"),
            "expected a number for Size, found \"k\"",
        ),
        (
            "Bucket, Key, Size, ETag, LastModifiedDate, a, b",
            "expected a date for LastModified",
        ),
        (
            "Bucket, Key, Size, ETag, a, b, c",
            "expected an ETag, found \"2026-01-01T",
        ),
        (
            "Bucket, Key, Size, a, b, ETag, c",
            "expected an ETag, found \"STANDARD\"",
        ),
        (
            "Bucket, Key, Size, a, b, c, ETag",
            "expected an ETag, found \"true\"",
        ),
        (
            "Bucket, Key, Size, IsLatest, a, b, c",
            "expected true or false for IsLatest",
        ),
    ] {
        let file = write(folder.path(), "x.csv", row);
        let zipped = write(folder.path(), "x.csv.gz", gzip([row]));
        let tool = || inventory().args(["--columns", columns]);
        for way in [tool().input(row), tool().arg(file), tool().arg(zipped)] {
            way.run().exits(78).prints_nothing().says(said);
        }
    }
    for (row, said) in [
        (
            "Bucket,Key,Size,LastModifiedDate,ETag\n",
            "and remove a header line",
        ),
        (
            "pub/k,b,1,2019-01-01,e\n",
            "expected the name of a Bucket, found \"pub/k\"",
        ),
    ] {
        inventory()
            .input(row)
            .run()
            .exits(78)
            .prints_nothing()
            .says(said);
    }
    // A later row that has more than the first is a reject.
    let run = inventory().input(rows(0..2) + row).run().exits(65);
    run.says("line 3: bad_row: expected 5 columns, as in the first row, found 7");
}

#[test]
fn a_first_row_that_is_odd_alone_is_rejected() {
    let folder = folder();
    let odd = row("odd", 1).replace("\"1\"", "\"\"");
    let text = format!("{odd}{}", rows(0..3));
    let file = write(folder.path(), "x.csv", &text);
    let zipped = write(folder.path(), "x.csv.gz", gzip([&text]));
    let tools = [
        inventory().input(&*text),
        inventory().arg(file),
        inventory().arg(zipped),
    ];
    for tool in tools {
        let run = tool.run().exits(65);
        let run = run.says("expected a number for Size, found \"\"");
        assert_eq!(run.records(), records(0..3), "{run}");
    }
    // The columns are others, or it has their names.
    let header = "Bucket,Key,Size,LastModifiedDate,ETag\n";
    for start in [format!("{odd}{odd}"), header.to_owned()] {
        let run = inventory().input(start + &rows(0..3)).run().exits(78);
        run.prints_nothing()
            .says("line 1: expected a number for Size");
    }
}

/// Its rows would be half of the one, half of the other.
#[test]
fn an_object_that_is_replaced_before_it_is_read_is_named() {
    let Some(bucket) = Bucket::new() else { return };
    let parquet = parquet_file(&[("k".to_owned(), true, false)], true);
    for (name, old, new) in [
        ("x.csv", rows(0..10).into_bytes(), rows(20..30).into_bytes()),
        ("x.csv.gz", gzip([rows(0..10)]), gzip([rows(20..30)])),
        (
            "x.parquet",
            parquet.clone(),
            [&parquet[..], &parquet].concat(),
        ),
    ] {
        bucket.put(name, old);
        let proxy = Proxy::new(&bucket.endpoint);
        let hold = proxy.set(Trap {
            text: "GET /",
            nth: 2,
            point: Point::Asked,
        });
        let tool = bucket
            .tool("s3-inventory")
            .env("AWS_ENDPOINT_URL", &proxy.url);
        let started = tool.arg(format!("{}/{name}", bucket.url()));
        let started = started.start_with(Stdio::null(), Stdio::piped());
        wait_for("the download", || hold.is_held());
        bucket.put(name, new);
        hold.release(true);
        let run = started.finish().exits(75).prints_nothing();
        run.says(&format!("/{name} at "))
            .says("it was replaced while it was read; run again");
        let tool = bucket.tool("s3-inventory");
        if name != "x.parquet" {
            let run = tool.arg(format!("{}/{name}", bucket.url())).run();
            assert_eq!(run.exits(0).records(), records(20..30));
        }
    }
}

#[test]
fn files_of_another_format_are_refused_before_a_row_is_read() {
    let folder = folder();
    let good = write(folder.path(), "0.csv", rows(0..10));
    let noise: Vec<u8> = (0..2000_u32).map(|n| (n * n % 251) as u8).collect();
    let begin = |magic: &[u8]| [magic, &noise, b"\nORC\n"].concat();
    let mut tar = vec![b'x'; 600];
    tar[257..262].copy_from_slice(b"ustar");
    let table = [
        (
            "a.orc",
            begin(b"ORC"),
            "found ORC; ORC is not supported: use an inventory in CSV or Parquet",
        ),
        ("a.csv", begin(b"ORC"), "found ORC"),
        ("a.zst", begin(b"\x28\xb5\x2f\xfd"), "compressed by zstd"),
        ("a.zip", begin(b"PK\x03\x04"), "a zip archive"),
        ("a.xz", begin(b"\xfd7zXZ\0"), "compressed by xz"),
        ("a.bz2", begin(b"BZh9"), "compressed by bzip2"),
        ("a.avro", begin(b"Obj\x01"), "found Avro"),
        ("a.tar", tar, "a tar archive"),
        (
            "a.html",
            b"\n<!DOCTYPE html>\n<p>b,k,1\n".to_vec(),
            "found XML or HTML",
        ),
        (
            "a.xml",
            b"<?xml version=\"1.0\"?><Error/>".to_vec(),
            "found XML or HTML",
        ),
        ("a.ndjson", b"{\"bucket\":\"b\"}\n".to_vec(), "found JSON"),
        (
            "bom.csv",
            [&b"\xef\xbb\xbf"[..], rows(0..1).as_bytes()].concat(),
            "byte order mark",
        ),
        ("utf16.csv", begin(b"\xff\xfe"), "UTF-16"),
        ("bin", begin(b"b,k"), "found binary data"),
    ];
    let rejects = folder.path().join("rejects");
    for (name, bytes, said) in table {
        let file = write(folder.path(), name, &bytes);
        let zipped = write(folder.path(), "z.csv.gz", gzip([&bytes]));
        for file in [file, zipped] {
            let run = inventory()
                .arg("--rejects")
                .arg(&rejects)
                .args([&good, &file]);
            let run = run.run().exits(78).says(said).says(&file);
            let listing = run.listing();
            assert_eq!(
                (listing.parts.len(), listing.records.len()),
                (1, 10),
                "{run}"
            );
            assert_eq!(std::fs::read(&rejects).unwrap(), b"");
        }
        inventory()
            .input(bytes)
            .run()
            .exits(78)
            .prints_nothing()
            .says(said);
    }
    let packed = gzip([rows(0..10)]);
    let twice = gzip([&packed]);
    inventory()
        .input(twice)
        .run()
        .exits(78)
        .says("compressed by gzip");
    // What is gzip is read, whatever its name.
    let file = write(folder.path(), "plain", packed);
    assert_eq!(
        inventory().arg(file).run().exits(0).records(),
        records(0..10)
    );
}

#[test]
fn a_file_that_changes_while_it_is_read_is_named() {
    let folder = folder();
    let file = write(folder.path(), "x.csv", rows(1..3));
    let mut fed = Fed::new(inventory().args(["--concurrency", "1", "-", &file]));
    fed.hear();
    fed.say(row(&key(0), 0).trim_end());
    assert_eq!(fed.line(), record(&key(0), 0));
    write(folder.path(), "x.csv", rows(4..9));
    let run = fed.finish().exits(75);
    run.says(&format!("{file}: changed while it was read; run again"));
}

#[test]
fn a_manifest_that_contradicts_its_files_or_its_place_is_refused() {
    let folder = folder();
    let at = folder.path();
    let bytes = gzip([rows(0..10)]);
    write(at, "copy/1.csv.gz", &bytes);
    write(at, "copy/2.csv.gz", &bytes);
    let good = manifest(&[("1.csv.gz", &bytes), ("2.csv.gz", &bytes)]);
    let text = good.to_string();
    let run = |text: &str| {
        let file = write(at, "m/manifest.json", text);
        inventory()
            .arg("--files")
            .arg(at.join("copy"))
            .arg(file)
            .run()
    };
    run(&text).exits(0);
    write(
        at,
        "m/manifest.checksum",
        md5(text.as_bytes()).to_uppercase() + "\n",
    );
    run(&text).exits(0);
    let said = format!(
        "manifest.json: has the MD5 {}, and its checksum file",
        md5(b"{}")
    );
    run("{}").exits(78).prints_nothing().says(&said);
    std::fs::remove_file(at.join("m/manifest.checksum")).unwrap();
    let changed = |pointer: &str, value: Value| {
        let mut manifest = good.clone();
        *manifest.pointer_mut(pointer).unwrap() = value;
        manifest.to_string()
    };
    for (text, said) in [
        (changed("/files", json!([])), "names no files"),
        (
            changed("/files/1/key", json!("1.csv.gz")),
            "names 1.csv.gz twice",
        ),
        (
            changed("/sourceBucket", json!("other")),
            "expected the Bucket \"other\" of the manifest, found \"b\"",
        ),
        (
            changed(
                "/fileSchema",
                json!("Bucket, Key, Size, ETag, LastModifiedDate"),
            ),
            "1.csv.gz: line 1: expected a date for LastModifiedDate",
        ),
    ] {
        run(&text).exits(78).prints_nothing().says(said);
    }
}

#[test]
fn a_manifest_of_another_inventory_than_asked_is_refused() {
    let server = mozilla("firefox", &[]);
    let tool = || Tool::new("s3-inventory").args(["--endpoint-url", &server.url]);
    let folder = folder();
    let kept = folder.path().join("kept.json");
    let keep = |tool: Tool| tool.arg("--keep-manifest").arg(&kept);
    keep(tool().args(["--mozilla", "firefox"])).run().exits(0);
    let run = keep(tool().args(["--mozilla", "archive"])).run().exits(78);
    run.prints_nothing()
        .says("lists net-mozaws-prod-delivery-firefox, not");
    let latest = "s3://net-mozaws-prod-delivery-inventory-us-east-1/public/other/";
    let run = keep(tool().args(["--no-sign-request", "--latest", latest])).run();
    run.exits(78)
        .prints_nothing()
        .says("so it belongs to another inventory");
}

#[test]
fn an_empty_file_of_a_format_that_is_never_empty_is_refused() {
    let folder = folder();
    for (name, status, said) in [
        (
            "a.orc",
            78,
            "ORC is not supported; use an inventory in CSV or Parquet",
        ),
        ("a.parquet", 75, "is empty; download the file again"),
    ] {
        let file = write(folder.path(), name, "");
        let run = inventory().arg(&file).run().exits(status);
        run.prints_nothing().says(said);
    }
}

#[test]
fn an_inventory_without_rows_is_warned_of() {
    let run = Tool::new("s3-inventory").run().exits(0);
    run.says("warning: the inventory has no rows");
}
