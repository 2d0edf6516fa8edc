//! Databases that sort texts in another order than S3 does.

use postgres::{Client, NoTls};

use super::{ALL, audit, bytes, differences, is_clean, listing};
use crate::harness::backfill::Backfill;
use crate::harness::left_out;
use crate::harness::postgres::Database;
use crate::harness::stored::{Kind, Store};

/// In the order of their bytes.
const NAMES: [&str; 9] = [
    "A",
    "B",
    "a",
    "a-b",
    "a_b",
    "ab",
    "b",
    "\u{e000}",
    "\u{1f600}",
];

fn named(name: &str) -> String {
    format!("pub/{name}/buildhub.json")
}

/// Returns an option of CREATE DATABASE for the order of English, if the server has it.
fn english() -> Option<&'static str> {
    let server = std::env::var("TEST_DATABASE_URL").ok()?;
    let mut client = Client::connect(&server, NoTls).unwrap();
    let query = "SELECT EXISTS (SELECT FROM pg_collation WHERE collname = 'en_US.utf8'),
        current_setting('server_version_num')::int >= 150000
        AND EXISTS (SELECT FROM pg_collation WHERE collname = 'en-US-x-icu')";
    let row = client.query_one(query, &[]).unwrap();
    match (row.get(0), row.get(1)) {
        (true, _) => Some("TEMPLATE template0 LOCALE 'en_US.utf8'"),
        (_, true) => Some("TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"),
        _ => {
            left_out("the order of English in PostgreSQL");
            None
        }
    }
}

fn is_audited_by_bytes(database: Database) {
    let mut all = Backfill::new(Kind::Sqlite, None).unwrap();
    all.store = Store::Postgres(database);
    all.records_rejects = true;
    let good = NAMES.iter().enumerate();
    let good = good.map(|(n, name)| (named(name), bytes(n)));
    let bad = (named("a-B"), b"{}".to_vec());
    all.bucket.put_all(good.chain([bad]));
    all.run().exit(&[0, 0, 0, 65, 0]);
    let clean = is_clean(audit(&all, &[ALL]).input(listing(&all, "")).run());
    assert_eq!(clean.count("/dropped/known"), 9, "{clean}");
    assert_eq!(clean.count("/dropped/known bad"), 1, "{clean}");

    let gone = ["A", "a-b", "\u{e000}"];
    for name in gone {
        all.bucket.delete(&named(name));
    }
    let extra = |name: &&str| (named(name), "extra".to_owned());
    let run = audit(&all, &[ALL]).input(listing(&all, "")).run().exits(65);
    assert_eq!(
        differences(&run),
        gone.iter().map(extra).collect::<Vec<_>>()
    );
    // Of a part of the bucket, by the bytes of its keys.
    let after = all.bucket.tool("s3-list").args(["--after", "pub/a"]);
    let part = after.arg(all.bucket.url()).run().exits(0).stdout;
    let run = audit(&all, &[ALL]).input(part).run().exits(65);
    assert_eq!(
        differences(&run),
        gone[1..].iter().map(extra).collect::<Vec<_>>()
    );
}

#[test]
fn a_database_in_the_order_of_bytes_is_audited() {
    if let Some(database) = Database::with("TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'") {
        is_audited_by_bytes(database);
    }
}

#[test]
fn a_database_in_the_order_of_english_is_audited() {
    let Some(database) = english().and_then(Database::with) else {
        return;
    };
    let order = "SELECT ('a' < 'B')::int::bigint";
    assert_eq!(database.count(order), 1);
    is_audited_by_bytes(database);
}
