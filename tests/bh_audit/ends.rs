//! How an audit ends when its input is not a whole listing.

use serde_json::json;

use super::{ALL, audit, counts, differences, listing, loaded};
use crate::harness::backfill::Backfill;
use crate::harness::sample::key;
use crate::harness::stored::Kind;
use crate::harness::{Tool, folder};

/// Loaded objects of which one was deleted since, and the listing without it.
fn listed_less_one() -> Option<(Backfill, String)> {
    let all = loaded(Kind::Sqlite)?;
    all.bucket.delete(&key(3));
    let listed = String::from_utf8(listing(&all, "")).unwrap();
    Some((all, listed))
}

#[test]
fn without_an_end_mark_nothing_is_extra() {
    let Some((all, whole)) = listed_less_one() else {
        return;
    };
    let lines: Vec<&str> = whole.lines().collect();
    let text = |lines: &[&str]| lines.join("\n") + "\n";
    let cut = text(&lines[..lines.len() - 1]);
    let run = audit(&all, &[ALL]).input(cut).run().exits(75);
    assert_eq!(counts(&run), [0; 3]);
    run.says("input ended early");
    let unmarked: Vec<&str> = lines
        .iter()
        .copied()
        .filter(|line| !line.starts_with("{\"mark\":"))
        .collect();
    let more = json!({"bucket": "b", "key": key(30), "etag": "e"}).to_string();
    let run = audit(&all, &[ALL])
        .input(text(&unmarked) + &more)
        .run()
        .exits(75);
    assert_eq!(differences(&run), [(key(30), "missing".to_owned())]);
    run.says("the listing has no end mark");
    audit(&all, &[ALL]).run().exits(75);
}

#[test]
fn a_lost_mark_leaves_its_keys_unjudged() {
    let Some((all, whole)) = listed_less_one() else {
        return;
    };
    let without_unit = whole.lines().filter(|line| !line.contains("\"listed\""));
    let text = without_unit.collect::<Vec<_>>().join("\n") + "\n";
    let run = audit(&all, &[ALL]).input(text).run().exits(75);
    assert_eq!(counts(&run), [0; 3], "{run}");
}

#[test]
fn a_malformed_line_is_rejected_and_its_page_is_not_judged() {
    let Some((all, whole)) = listed_less_one() else {
        return;
    };
    let line = whole.lines().find(|line| line.contains("x.txt")).unwrap();
    let broken = whole.replace(line, "{\"key\":\"x/buildhub.json\"");
    let file = folder();
    let rejects = file.path().join("rejects").display().to_string();
    let run = audit(&all, &[ALL, "--rejects", &rejects])
        .input(broken)
        .run()
        .exits(65);
    assert_eq!(
        (run.count("/rejected/bad_line"), counts(&run)),
        (1, [0; 3]),
        "{run}"
    );
}

#[test]
fn a_database_that_is_not_there_lacks_everything() {
    let Some(all) = loaded(Kind::Sqlite) else {
        return;
    };
    let tool = Tool::new("bh-audit").args(["--database", "sqlite:none.db"]);
    let run = tool.input(listing(&all, "")).run().exits(65);
    run.says("/none.db differs from the listing: 7 missing, 0 changed, 0 extra");
}

#[test]
fn young_objects_are_left_out_when_asked() {
    let Some(all) = loaded(Kind::Sqlite) else {
        return;
    };
    all.bucket.put(&key(1), b"{\"a\":1}".to_vec());
    all.bucket.put(&key(30), b"{\"a\":1}".to_vec());
    let lines = listing(&all, "");
    let run = audit(&all, &[ALL, "--settle=1h"])
        .input(lines.clone())
        .run();
    assert_eq!(run.exits(0).count("/dropped/too new"), 2);
    let run = audit(&all, &[ALL]).input(lines).run().exits(65);
    assert_eq!(counts(&run), [1, 1, 0]);
}
