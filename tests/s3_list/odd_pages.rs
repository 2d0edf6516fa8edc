//! Pages with values that cannot be read.

use crate::harness::scripted::{Scripted, page};

#[test]
fn a_time_or_size_that_cannot_be_read_is_left_out_with_one_warning() {
    let server = Scripted::new(|_| {
        page(
            "<Contents><Key>a</Key><LastModified/><Size>7</Size></Contents>\
             <Contents><Key>b</Key><LastModified>soon</LastModified><Size>7</Size></Contents>\
             <Contents><Key>c</Key><LastModified>later</LastModified><Size>big</Size></Contents>\
             <Contents><Key>d</Key><LastModified>Thu, 12 Nov 2026 10:00:00 GMT</LastModified></Contents>",
        )
    });
    let run = server.tool("s3-list").arg("s3://bench").run().exits(0);
    let listing = run.listing();
    assert_eq!(listing.keys(), ["a", "b", "c", "d"], "{run}");
    let sizes: Vec<_> = listing.records.iter().map(|record| record.size).collect();
    assert_eq!(sizes, [Some(7), Some(7), None, None], "{run}");
    let times = listing
        .records
        .iter()
        .map(|record| record.last_modified.as_deref());
    let times: Vec<_> = times.collect();
    assert_eq!(
        times,
        [None, None, None, Some("2026-11-12T10:00:00.000Z")],
        "{run}"
    );
    let told = run.told();
    assert_eq!(told.len(), 3, "two warnings, and the summary: {run}");
    run.says("last_modified \"soon\" cannot be read")
        .says("size \"big\" cannot be read");
}

#[test]
fn a_key_that_cannot_be_read_is_rejected_alone() {
    let server = Scripted::new(|_| {
        page(
            "<Contents><Key>a</Key></Contents><Contents><Key>b%ff</Key></Contents>\
             <Contents><Key>&#xd800;</Key></Contents><Contents><Key>z</Key></Contents>",
        )
    });
    let run = server.tool("s3-list").arg("s3://bench").run().exits(65);
    assert_eq!(run.listing().keys(), ["a", "z"], "{run}");
    assert_eq!(run.count("/rejected/unreadable_key"), 2, "{run}");
    run.says("the key \"b%ff\" cannot be read")
        .says("the key \"&#xd800;\" cannot be read");
}

#[test]
fn a_page_that_lacks_a_key_of_its_count_is_not_believed() {
    let server = Scripted::new(|_| page("<KeyCount>2</KeyCount><Contents><Key>a</Key></Contents>"));
    let tool = server.tool("s3-list").args(["--tries", "2", "s3://bench"]);
    let run = tool.run().exits(69);
    run.says("its KeyCount is 2, and the number of its keys and prefixes 1");
}

#[test]
fn a_server_that_ignores_where_to_start_is_named_with_what_may_help() {
    let server = Scripted::new(|_| page("<Contents><Key>a</Key></Contents>"));
    let tool = server.tool("s3-list").args(["--after", "b", "s3://bench"]);
    let run = tool.run().exits(78).says("it ignores start-after");
    run.says("try --concurrency 1");
}
