//! Records that the user may not write.

use serde_json::json;

use super::lines;
use crate::harness::kinto::{COLLECTION, Kinto, release};

/// A record may have permissions of its own.
#[test]
fn a_record_of_another_user_is_rejected_alone() {
    let (Some(kinto), Some(mut guest)) = (Kinto::new(), Kinto::without_bucket()) else {
        return;
    };
    let name = guest.bucket.clone();
    guest.auth = format!("{name}:secret");
    let account = json!({"data": {"password": "secret"}});
    let (status, answer) = guest.ask("PUT", &format!("/accounts/{name}"), Some(&account));
    assert_eq!(status, 201, "{answer}");
    let load = |numbers: &[usize]| {
        let tool = kinto.tool("kinto-load").env("KINTO_AUTH", &guest.auth);
        let records: Vec<_> = numbers.iter().map(|n| release(*n)).collect();
        tool.args(["--batch-size", "3", "--concurrency", "1"])
            .input(lines(&records))
            .run()
    };
    load(&[0]).exits(77).says("may not write here");

    let allow = json!({"permissions": {"record:create": [format!("account:{name}")]}});
    let collection = format!("{}/collections/{COLLECTION}", kinto.bucket_path());
    let (status, answer) = kinto.ask("PATCH", &collection, Some(&allow));
    assert_eq!(status, 200, "{answer}");
    let all: Vec<_> = [1, 4, 5, 6].map(release).into();
    let own = kinto.tool("kinto-load").input(lines(&all));
    own.run().exits(0);
    // One in a batch, and then a batch of nothing else.
    let run = load(&[0, 1, 2, 4, 5, 6, 7]).exits(65);
    run.says("may not write this record");
    let run = load(&[8, 4]).exits(65);
    assert_eq!(run.count("/rejected/refused"), 1, "{run}");
    assert_eq!(kinto.stored().len(), 4 + 4);
}
