//! Where requests go: endpoints, buckets in the name of the host, access points.

use std::collections::BTreeSet;

use crate::harness::Tool;
use crate::harness::scripted::{Scripted, page, response};

/// Returns the path of all requests.
#[track_caller]
fn path(server: &Scripted) -> String {
    let path = |line: &String| {
        let path = line.split(' ').nth(1).unwrap();
        path.split('?').next().unwrap().to_owned()
    };
    let paths: BTreeSet<String> = server.asked().iter().map(path).collect();
    assert_eq!(paths.len(), 1, "{paths:?}");
    paths.into_iter().next().unwrap()
}

#[test]
fn an_endpoint_keeps_its_path() {
    for end in ["", "/"] {
        let server = Scripted::new(|_| page(""));
        let endpoint = format!("{}/storage/v1/s3{end}", server.url);
        let tool = Tool::new("s3-list").args(["--endpoint-url", &endpoint]);
        tool.args(["--no-sign-request", "s3://bench"])
            .run()
            .exits(0);
        assert_eq!(path(&server), "/storage/v1/s3/bench/");
    }
}

#[test]
fn a_blank_endpoint_variable_is_unset() {
    let server = Scripted::new(|_| page(""));
    let tool = Tool::new("s3-list").args(["--no-sign-request", "s3://bench"]);
    let tool = tool.env("AWS_ENDPOINT_URL_S3", " ").env("AWS_REGION", "");
    let run = tool.env("AWS_ENDPOINT_URL", &*server.url).run().exits(0);
    run.says("AWS_ENDPOINT_URL_S3 is blank, so it counts as not set");
    assert_eq!(path(&server), "/bench/");
}

#[test]
fn an_endpoint_that_is_no_url_is_wrong_usage() {
    for endpoint in [
        "",
        "nonsense",
        "ftp://host",
        "http://host/?a=b",
        "http://host/#a",
        "http://",
    ] {
        let tool = Tool::new("s3-list").args(["--no-sign-request", "s3://bench"]);
        let run = tool.args(["--endpoint-url", endpoint]).run().exits(2);
        assert_eq!(run.count("/notes/requests"), 0, "{run}");
    }
}

#[test]
fn the_bucket_is_in_the_path_or_in_the_name_of_the_host() {
    let table = [
        ("auto", "http://s3.test/bench/"),
        ("path", "http://s3.test/bench/"),
        ("virtual", "http://bench.s3.test/"),
    ];
    for (style, expected) in table {
        let proxy = Scripted::new(|_| page(""));
        let tool = Tool::new("s3-list").args(["--endpoint-url", "http://s3.test"]);
        let tool = tool.args([
            "--addressing-style",
            style,
            "--no-sign-request",
            "s3://bench",
        ]);
        tool.env("http_proxy", &*proxy.url).run().exits(0);
        assert_eq!(path(&proxy), expected);
    }
}

#[test]
fn an_access_point_is_a_bucket_by_its_arn() {
    let table = [
        (
            "accesspoint/myap/pub/",
            "myap-123456789012.s3-accesspoint.eu-north-1.amazonaws.com:443",
        ),
        (
            "accesspoint/myap",
            "myap-123456789012.s3-accesspoint.eu-north-1.amazonaws.com:443",
        ),
    ];
    for (resource, host) in table {
        let proxy = Scripted::new(|_| response(403, "", ""));
        let url = format!("s3://arn:aws:s3:eu-north-1:123456789012:{resource}");
        let tool = Tool::new("s3-list").args(["--no-sign-request", "--tries", "1", &url]);
        let run = tool.env("https_proxy", &*proxy.url).run().exits(69);
        assert_eq!(path(&proxy), host, "{run}");
    }
}

#[test]
fn a_prefix_that_is_too_long_for_a_request_is_a_configuration_error() {
    let server = Scripted::new(|_| page(""));
    let tool = server
        .tool("s3-list")
        .arg(format!("s3://bench/{}", "p".repeat(70_000)));
    tool.run().exits(78).says("too long");
    assert_eq!(server.asked(), [""; 0]);
}
