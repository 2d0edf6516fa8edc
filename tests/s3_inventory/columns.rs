//! Rows and files whose columns are not those that are read.

use std::sync::Arc;

use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::json;

use super::manifests::manifest;
use super::{gzip, inventory, key, records, row, write};
use crate::harness::folder;

/// Rows after the first of a file without names for its columns.
#[test]
fn a_row_of_another_width_than_the_first_is_rejected() {
    let wide = |n: usize| format!("{},\"STANDARD\",\"x\"\n", row(&key(n), n).trim_end());
    let fewer = |n: usize| format!("{},\"STANDARD\"\n", row(&key(n), n).trim_end());
    let odd = |n: usize| wide(n).replace("\"x\"", "\"a \"\"quoted\"\"\nname\"");
    let torn = "\"b\",\"k,\"1\",\"2019-01-01\",\"e\"\n".to_owned();
    let folder = folder();
    let ways = |text: &str| {
        let file = write(folder.path(), "x.csv", text);
        let zipped = write(folder.path(), "x.csv.gz", gzip([text]));
        [
            inventory().input(text),
            inventory().arg(file),
            inventory().arg(zipped),
        ]
    };
    for (first, bad, found) in [
        (wide(0), row(&key(9), 9), 5),
        (wide(0), fewer(9), 6),
        (odd(0), row(&key(9), 9), 5),
        (row(&key(0), 0), wide(9), 7),
        // The first row that is one.
        (torn.clone() + &wide(0), fewer(9), 6),
    ] {
        let good = |n| {
            if first.contains("STANDARD") {
                wide(n)
            } else {
                row(&key(n), n)
            }
        };
        let text = format!("{first}{}{bad}{}", good(1), good(2));
        for way in ways(&text) {
            let run = way.run().exits(65);
            assert_eq!(run.records(), records(0..3), "{run}");
            let expected = if found == 7 { 5 } else { 7 };
            run.says(&format!(
                "expected {expected} columns, as in the first row, found {found}"
            ));
        }
    }
    // A pipe that ends so was cut; a file may have been.
    let [pipe, file, zipped] = ways(&format!("{}{}", wide(0), row(&key(1), 1).trim_end()));
    let run = pipe.run().exits(75).says("in the middle of line 2");
    assert_eq!(run.records(), records(0..1));
    for way in [file, zipped] {
        assert_eq!(way.run().exits(65).records(), records(0..1));
    }
}

/// Half a key is a key: neither a quote nor a column is missing.
#[test]
fn a_row_at_the_end_that_may_be_cut_is_no_record() {
    let folder = folder();
    for (columns, row) in [
        ("Bucket, Key", "b,pub/1.js"),
        ("Size, Key, Bucket", "1,pub/1.json,b"),
        ("Bucket, Key, Size", "b,pub/1.json,12"),
        ("Bucket, Key, LastModifiedDate", "b,pub/1.json,2019-01-02"),
    ] {
        let whole = row.replace("1.js", "0.js");
        let text = format!("{whole}\n{row}");
        let tool = || inventory().args(["--columns", columns]);
        let run = tool().input(&*text).run().exits(75);
        assert_eq!(run.records().len(), 1, "{run}");
        assert!(run.listing().end.is_none());
        let file = write(folder.path(), "x.csv", &text);
        let run = tool().arg(&file).run().exits(65);
        assert_eq!(run.records().len(), 1, "{run}");
        run.says("line 2: ends without a newline and may be cut");
        for end in ["\n", "\r\n"] {
            let run = tool().input(format!("{text}{end}")).run().exits(0);
            assert_eq!(run.records().len(), 2, "{run}");
        }
    }
    // An ETag is whole if it is as long as an MD5 sum, where others are.
    let rows = |etag: &str| {
        format!(
            "b,k,1,2019-01-01,{0}\nb,l,2,2019-01-01,{etag}",
            "0123abcd".repeat(4)
        )
    };
    let whole = "abcd0123".repeat(4);
    for end in 1..whole.len() {
        let run = inventory().input(rows(&whole[..end])).run().exits(75);
        assert_eq!(run.records().len(), 1, "{run}");
    }
    for etag in [&*whole, &format!("{whole}-2"), ""] {
        let status = if etag.is_empty() { 75 } else { 0 };
        inventory().input(rows(etag)).run().exits(status);
    }
    // A quote that closes is the end.
    let run = inventory()
        .args(["--columns", "Bucket, Key"])
        .input("b,\"k\"");
    assert_eq!(run.run().exits(0).records().len(), 1);
}

/// Parquet of one row in these columns.
fn parquet_of(columns: &[&str]) -> Vec<u8> {
    // A group ends without a semicolon.
    let fields = (columns.join(";\n") + ";").replace("};", "}");
    let schema = parse_message_type(&format!("message other {{ {fields} }}")).unwrap();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema.into(), Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    while let Some(mut column) = group.next_column().unwrap() {
        let levels = Some(&[1][..]);
        let text = [ByteArray::from("2019-01-01")];
        match column.untyped() {
            ColumnWriter::BoolColumnWriter(to) => to.write_batch(&[true], levels, None),
            ColumnWriter::Int32ColumnWriter(to) => to.write_batch(&[7], levels, None),
            ColumnWriter::Int64ColumnWriter(to) => to.write_batch(&[7], levels, None),
            ColumnWriter::ByteArrayColumnWriter(to) => to.write_batch(&text, levels, None),
            _ => panic!("{columns:?}"),
        }
        .unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn columns_of_parquet_that_do_not_fit_are_an_error() {
    const BUCKET: &str = "optional binary bucket (UTF8)";
    const KEY: &str = "optional binary key (UTF8)";
    let folder = folder();
    let run = |columns: &[&str], flags: &[&str]| {
        let file = write(folder.path(), "x.parquet", parquet_of(columns));
        inventory().args(flags).arg(file).run()
    };
    let text = "optional binary size (UTF8)";
    for (columns, said) in [
        (
            vec![BUCKET, "optional int64 size"],
            "the column Key is missing; its columns are bucket, size",
        ),
        (vec![KEY], "the column Bucket is missing"),
        (
            vec![BUCKET, KEY, "optional binary KEY"],
            "the column Key is named twice",
        ),
        (
            vec![BUCKET, "optional int64 key"],
            "the column Key is of another type, OPTIONAL INT64 key; expected text",
        ),
        (
            vec![BUCKET, KEY, "optional boolean size"],
            "the column Size is of another type",
        ),
        (
            vec![
                BUCKET,
                KEY,
                "optional int64 last_modified_date (TIME(NANOS,true))",
            ],
            "the column LastModifiedDate is of another type",
        ),
        (
            vec![BUCKET, KEY, "optional int32 last_modified_date (DATE)"],
            "expected a timestamp, or text",
        ),
        (
            vec![BUCKET, KEY, "optional int64 is_latest"],
            "expected BOOLEAN, or text",
        ),
        (
            vec![BUCKET, KEY, "optional int64 e_tag (TIME(MICROS,true))"],
            "the column ETag is of",
        ),
        (
            vec![BUCKET, KEY, "optional group size { optional int64 bytes; }"],
            "the column Size is of another type, OPTIONAL group size",
        ),
        // The first row does not fit.
        (
            vec![BUCKET, KEY, text],
            "row 1: expected a number for Size, found \"2019-01-01\"",
        ),
    ] {
        let run = run(&columns, &[]).exits(78).prints_nothing();
        run.says("x.parquet").says(said);
    }
    let named = ["--columns", "Bucket, Key, ETag, StorageClass"];
    let lacking = run(&[BUCKET, KEY], &named).exits(78).prints_nothing();
    lacking.says("the column ETag, which the manifest or --columns names, is missing");
    for rest in [
        "optional binary e_tag (UTF8)",
        "optional binary e_tag",
        "optional int32 size",
        "optional int64 size (INTEGER(64,false))",
        "optional int64 last_modified_date",
        "optional int64 last_modified_date (TIMESTAMP(MICROS,true))",
        "optional binary last_modified_date (UTF8)",
        "optional group other { optional int64 bytes; }",
    ] {
        let run = run(&[BUCKET, KEY, rest], &[]);
        let is_etag = rest.contains("e_tag");
        // The text of all columns is a date.
        let run = run.exits(if is_etag { 78 } else { 0 });
        assert_eq!(run.records().len(), usize::from(!is_etag), "{rest}: {run}");
    }
}

#[test]
fn a_manifest_names_the_columns_of_its_parquet() {
    let folder = folder();
    let at = folder.path();
    let bytes = parquet_of(&[
        "required binary bucket (UTF8)",
        "required binary key (UTF8)",
        "optional binary last_modified_date (UTF8)",
        "optional binary version_id (UTF8)",
    ]);
    write(at, "1.parquet", &bytes);
    let run = |schema: &str| {
        let mut text = manifest(&[("1.parquet", &bytes)]);
        text["fileFormat"] = json!("Parquet");
        text["sourceBucket"] = json!("2019-01-01");
        text["fileSchema"] = json!(schema);
        let file = write(at, "manifest.json", text.to_string());
        inventory().arg("--files").arg(at).arg(file).run()
    };
    let schema = |rest: &str| {
        format!(
            "message s3.inventory {{ required binary bucket (UTF8); required binary key (UTF8); \
             optional int64 last_modified_date (TIMESTAMP_MILLIS); {rest} }}"
        )
    };
    for whole in [
        schema(""),
        schema("optional boolean is_bucket_key_enabled;"),
    ] {
        assert_eq!(run(&whole).exits(0).records().len(), 1);
    }
    // What cannot be read names nothing.
    run("message s3.inventory { ... }").exits(0);
    for (schema, said) in [
        (
            "message x { required binary bucket (UTF8); }".to_owned(),
            "the column Key is missing",
        ),
        (
            schema("optional binary version_id (UTF8); optional boolean is_latest;"),
            "the column IsLatest, which the manifest or --columns names, is missing",
        ),
    ] {
        run(&schema).exits(78).prints_nothing().says(said);
    }
}

#[test]
fn times_of_parquet_may_be_in_nanoseconds() {
    let folder = folder();
    let columns = [
        "required binary bucket (UTF8)",
        "required binary key (UTF8)",
        "required int64 last_modified_date (TIMESTAMP(NANOS,true))",
    ];
    let file = write(folder.path(), "x.parquet", parquet_of(&columns));
    let run = inventory().arg(&file).run().exits(0);
    let time = &run.records()[0]["last_modified"];
    assert!(
        time.as_str()
            .unwrap()
            .starts_with("1970-01-01T00:00:00.000"),
        "{run}"
    );
    let size = "required int64 size (TIMESTAMP(NANOS,true))";
    let file = write(
        folder.path(),
        "y.parquet",
        parquet_of(&[columns[0], columns[1], size]),
    );
    inventory().arg(&file).run().exits(78).says("size");
}
