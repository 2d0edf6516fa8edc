//! Files and folders.

use std::sync::Arc;

use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::json;

use super::{gzip, inventory, key, marks, record, records, row, rows, write};
use crate::harness::folder;
use crate::harness::protocol::{Reject, read};

#[test]
fn a_folder_is_read_in_order_with_a_mark_per_file() {
    let folder = folder();
    let at = folder.path();
    write(
        at,
        "a.csv.gz",
        gzip([rows(0..1000), String::new(), rows(1000..1500)]),
    );
    write(at, "b/c.csv", rows(1500..2000));
    // A member ends in the middle of a row.
    let text = rows(2000..3000);
    let (first, second) = text.split_at(text.len() / 2 + 3);
    write(at, "b/d.CSV.gz", gzip([first, second]));
    write(at, "manifest.json", "{}");
    write(at, "b/notes.txt", "x");
    for flags in [&[][..], &["--concurrency", "1"], &["--concurrency", "7"]] {
        let run = inventory()
            .args(flags.iter().copied())
            .arg(at)
            .run()
            .exits(0);
        assert_eq!(run.records(), records(0..3000));
        assert_eq!(
            run.told(),
            ["s3-inventory: 3000 in = 3000 out; 3 files; 3 marks"]
        );
        let bound = |text: &str| Some(text.to_owned());
        let (one, two) = (bound("000001"), bound("000002"));
        let expected = vec![(None, one.clone()), (one, two.clone()), (two, None)];
        assert_eq!(marks(&run), (expected, true));
        let parts = run.listing().parts;
        let sizes: Vec<_> = parts.iter().map(|(_, keys)| keys.len()).collect();
        assert_eq!(sizes, [1500, 500, 1000]);
    }
    let run = inventory()
        .arg(at.join("b"))
        .arg(at.join("a.csv.gz"))
        .run()
        .exits(0);
    assert_eq!(run.records(), records((1500..3000).chain(0..1500)));
    let run = inventory()
        .args(["-"])
        .arg(at.join("b/c.csv"))
        .input(rows(0..2))
        .run();
    assert_eq!(run.exits(0).records(), records((0..2).chain(1500..2000)));
}

#[test]
fn every_gzip_member_of_every_file_is_read() {
    let folder = folder();
    let each = 20_000;
    for file in 0..5 {
        let parts = (0..4).map(|part| {
            let start = (file * 4 + part) * each;
            rows(start..start + each)
        });
        write(folder.path(), &format!("{file}.csv.gz"), gzip(parts));
    }
    let run = inventory().arg(folder.path()).run().exits(0);
    let keys = run.listing();
    let keys = keys.keys();
    assert_eq!(keys.len(), 20 * each);
    assert!(keys.iter().enumerate().all(|(n, found)| *found == key(n)));
}

#[test]
fn bad_rows_are_named_with_their_file() {
    let folder = folder();
    let file = write(
        folder.path(),
        "x.csv.gz",
        gzip([rows(0..3), "bad\n".to_owned()]),
    );
    let rejects = folder.path().join("rejects");
    let run = inventory()
        .arg(&file)
        .arg("--rejects")
        .arg(&rejects)
        .run()
        .exits(65);
    assert_eq!(run.records(), records(0..3));
    let rejects: Vec<Reject> = read(&std::fs::read(rejects).unwrap());
    let message = format!("{file}, line 4: expected 5 columns, found 1");
    assert_eq!(
        (&*rejects[0].error.message, rejects[0].error.line),
        (&*message, 4)
    );
    assert_eq!(rejects[0].raw.as_deref(), Some("bad"));
}

/// A file, the exit status, the message, and the minimum number of rows before
/// it.
#[test]
fn a_damaged_file_is_named_and_gets_no_mark() {
    let folder = folder();
    let whole = gzip([rows(0..20_000), rows(20_000..40_000)]);
    let mut flipped = whole.clone();
    let end = flipped.len() - 6;
    flipped[end] ^= 1;
    let mut broken = whole.clone();
    broken[whole.len() / 2..whole.len() / 2 + 64].fill(0xff);
    let table = [
        (
            "cut.csv.gz",
            whole[..whole.len() * 3 / 4].to_vec(),
            75,
            "the gzip file is cut; download it again",
            20_000,
        ),
        (
            "tail.csv.gz",
            whole[..whole.len() - 3].to_vec(),
            75,
            "the gzip file is cut",
            39_000,
        ),
        (
            "header.csv.gz",
            whole[..5].to_vec(),
            75,
            "the gzip file is cut",
            0,
        ),
        ("crc.csv.gz", flipped, 78, "download the file again", 39_000),
        ("broken.csv.gz", broken, 78, "download the file again", 100),
        (
            "garbage.csv.gz",
            [whole, vec![b'x'; 64]].concat(),
            78,
            "download the file again",
            40_000,
        ),
        ("empty.csv.gz", vec![], 75, "is empty", 0),
        (
            "text.csv.gz",
            rows(0..3).into_bytes(),
            78,
            "is not a gzip file",
            0,
        ),
        (
            "bad.parquet",
            b"PAR1 and no more".to_vec(),
            78,
            "download the file again",
            0,
        ),
    ];
    let good = write(folder.path(), "0.csv", rows(0..10));
    for (name, bytes, status, said, least) in table {
        let file = write(folder.path(), name, bytes);
        let run = inventory()
            .args([&good, &file])
            .run()
            .exits(status)
            .says(said);
        assert!(
            run.told()[0].starts_with(&format!("s3-inventory: {file}")),
            "{run}"
        );
        let listing = run.listing();
        assert_eq!((listing.parts.len(), listing.end), (1, None), "{run}");
        assert!(
            listing.records.len() >= 10 + least,
            "{name}: {}",
            listing.records.len()
        );
    }
    for (input, said) in [
        ("nothing.csv", "no such file or folder; check the name"),
        ("/dev/null/x", "Not a directory"),
    ] {
        inventory()
            .arg(input)
            .run()
            .exits(78)
            .prints_nothing()
            .says(said);
    }
    let nothing = folder.path().join("nothing");
    std::fs::create_dir(&nothing).unwrap();
    inventory()
        .arg(nothing)
        .run()
        .exits(78)
        .says("no .csv.gz, .csv or .parquet");
}

const SCHEMA: &str = "message s3.inventory {
    required binary bucket (UTF8);
    required binary key (UTF8);
    optional binary version_id (UTF8);
    optional boolean is_latest;
    optional boolean is_delete_marker;
    optional int64 size;
    optional int64 last_modified_date (TIMESTAMP(MILLIS,true));
    optional binary e_tag (UTF8);
    optional binary storage_class (UTF8);
}";

/// An inventory in Parquet: keys, whether latest, whether a delete marker.
pub fn parquet_file(rows: &[(String, bool, bool)], compressed: bool) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let compression = if compressed {
        parquet::basic::Compression::SNAPPY
    } else {
        parquet::basic::Compression::UNCOMPRESSED
    };
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties.into()).unwrap();
    for (group, part) in rows.chunks(5000).enumerate() {
        let number = |at: usize| (group * 5000 + at) as i64;
        let texts = |text: &dyn Fn(usize) -> String| -> Vec<ByteArray> {
            (0..part.len())
                .map(|at| text(at).as_bytes().to_vec().into())
                .collect()
        };
        let there = vec![1; part.len()];
        let living: Vec<usize> = (0..part.len()).filter(|at| !part[*at].2).collect();
        let sized: Vec<i16> = part.iter().map(|row| i16::from(!row.2)).collect();
        let mut group = writer.next_row_group().unwrap();
        let mut column = 0;
        while let Some(mut to) = group.next_column().unwrap() {
            match column {
                0 => drop(
                    to.typed::<ByteArrayType>()
                        .write_batch(&texts(&|_| "b".to_owned()), None, None)
                        .unwrap(),
                ),
                1 => drop(
                    to.typed::<ByteArrayType>()
                        .write_batch(&texts(&|at| part[at].0.clone()), None, None)
                        .unwrap(),
                ),
                2 => drop(
                    to.typed::<ByteArrayType>()
                        .write_batch(&texts(&|at| format!("v{}", number(at))), Some(&there), None)
                        .unwrap(),
                ),
                3 | 4 => {
                    let flags: Vec<bool> = part
                        .iter()
                        .map(|row| if column == 3 { row.1 } else { row.2 })
                        .collect();
                    to.typed::<BoolType>()
                        .write_batch(&flags, Some(&there), None)
                        .unwrap();
                }
                5 => {
                    let sizes: Vec<i64> = living.iter().map(|at| number(*at)).collect();
                    to.typed::<Int64Type>()
                        .write_batch(&sizes, Some(&sized), None)
                        .unwrap();
                }
                6 => {
                    let times = vec![1_546_398_245_000_i64; part.len()];
                    to.typed::<Int64Type>()
                        .write_batch(&times, Some(&there), None)
                        .unwrap();
                }
                7 => drop(
                    to.typed::<ByteArrayType>()
                        .write_batch(&texts(&|at| format!("e{}", number(at))), Some(&there), None)
                        .unwrap(),
                ),
                _ => drop(
                    to.typed::<ByteArrayType>()
                        .write_batch(&[], Some(&vec![0; part.len()]), None)
                        .unwrap(),
                ),
            }
            to.close().unwrap();
            column += 1;
        }
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

#[test]
fn parquet_is_read_by_its_schema_and_its_keys_are_not_decoded() {
    let folder = folder();
    let rows: Vec<_> = (0..12_000)
        .map(|n| (format!("a+b%28 {n}"), n % 3 != 1, n % 5 == 2))
        .collect();
    let latest = |n: &usize| n % 3 != 1;
    let living = |n: &usize| latest(n) && n % 5 != 2;
    for compressed in [false, true] {
        let file = write(folder.path(), "x.parquet", parquet_file(&rows, compressed));
        let run = inventory().arg(&file).run().exits(0);
        let expected: Vec<_> = (0..12_000)
            .filter(living)
            .map(|n| record(&rows[n].0, n))
            .collect();
        assert_eq!(run.records(), expected);
        assert_eq!(run.listing().parts.len(), 1);
        let all = ["--all-versions", "--delete-markers"];
        let run = inventory().arg(&file).args(all).run().exits(0);
        let records = run.records();
        assert_eq!(records.len(), 12_000);
        assert_eq!(records[7]["version_id"], json!("v7"));
        assert_eq!(
            (&records[7]["is_latest"], &records[7]["is_delete_marker"]),
            (&json!(false), &json!(true))
        );
        assert_eq!(records[7].get("size"), None);
    }
    let file = write(
        folder.path(),
        "x.parquet",
        parquet_file(
            &[("k".to_owned(), true, false), (String::new(), true, false)],
            true,
        ),
    );
    let run = inventory().arg(&file).run().exits(65);
    assert_eq!(run.records().len(), 1);
    run.says("row 2: Key is empty").says(&file);
}

#[test]
fn the_last_row_of_a_file_needs_no_newline() {
    let folder = folder();
    let text = row(&key(0), 0);
    let file = write(folder.path(), "x.csv", text.trim_end());
    let zipped = write(
        folder.path(),
        "y.csv.gz",
        gzip([row(&key(1), 1).trim_end()]),
    );
    let run = inventory().args([file, zipped]).run().exits(0);
    assert_eq!(run.records(), records(0..2));
}

#[test]
fn gzip_on_standard_input_is_read() {
    let zipped = gzip([rows(0..1000), rows(1000..1500)]);
    let run = inventory().input(zipped.clone()).run().exits(0);
    assert_eq!(run.records(), records(0..1500), "{run}");
    let cut = &zipped[..zipped.len() - 20];
    let run = inventory().input(cut).run().exits(75);
    run.says("standard input: the gzip file is cut");
}

/// As after a copy in whole blocks.
#[test]
fn zeros_after_the_last_member_are_no_data() {
    let folder = folder();
    let mut zipped = gzip([rows(0..1000), rows(1000..1500)]);
    zipped.extend([0; 700]);
    let file = write(folder.path(), "x.csv.gz", &zipped);
    let run = inventory().arg(file).run().exits(0);
    assert_eq!(run.records(), records(0..1500), "{run}");
    let run = inventory().input(zipped.clone()).run().exits(0);
    assert_eq!(run.records(), records(0..1500), "{run}");
    zipped.extend(b"more");
    let file = write(folder.path(), "y.csv.gz", &zipped);
    inventory().arg(file).run().exits(78).says("y.csv.gz");
}

/// A parser would take it for second 59.
#[test]
fn a_second_60_is_no_date() {
    for time in [
        "2016-12-31T23:59:60Z",
        "2016-12-31T23:59:60.5Z",
        "2016-12-31T23:59:60",
    ] {
        let line = format!("\"b\",\"k\",\"1\",\"{time}\",\"e\"\n");
        let run = inventory().input(rows(0..1) + &line).run().exits(65);
        assert_eq!(run.count("/rejected/bad_row"), 1, "{time}: {run}");
    }
}
