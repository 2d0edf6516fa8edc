//! Listings of other tools lead to the same builds as those of s3-list.

use std::process::{Command, Output, Stdio};

use crate::harness::minio::Bucket;
use crate::harness::protocol::Record;
use crate::harness::sample::build;
use crate::harness::{Run, Tool, folder, left_out, pipeline};

const KEYS: [&str; 5] = [
    "pub/a/buildhub.json",
    "pub/b b/Firefox-9+9%25-buildhub.json",
    "pub/é/buildhub.json",
    "pub/a/target.tar.gz",
    "other \"x\"",
];

fn bucket() -> Option<Bucket> {
    let bucket = Bucket::new()?;
    let bodies = (0..).map(|n| build(n).to_string().into_bytes());
    bucket.put_all(KEYS.map(String::from).into_iter().zip(bodies));
    Some(bucket)
}

/// Another tool's command with access to the server, if it is installed.
fn command(name: &str) -> Option<Command> {
    let path = std::env::var_os("PATH").unwrap();
    if !std::env::split_paths(&path).any(|folder| folder.join(name).is_file()) {
        left_out(name);
        return None;
    }
    let of = |name: &str| std::env::var(format!("TEST_S3_{name}")).unwrap();
    let mut command = Command::new(name);
    // A CA bundle for other servers stops some releases of rclone.
    command
        .env_remove("AWS_CA_BUNDLE")
        .env("AWS_REGION", "us-east-1");
    for (variable, value) in [
        ("AWS_ENDPOINT_URL", of("ENDPOINT")),
        ("AWS_ACCESS_KEY_ID", of("ACCESS_KEY")),
        ("AWS_SECRET_ACCESS_KEY", of("SECRET_KEY")),
        ("S3_ENDPOINT_URL", of("ENDPOINT")),
        ("RCLONE_CONFIG_IT_TYPE", "s3".to_owned()),
        ("RCLONE_CONFIG_IT_PROVIDER", "Minio".to_owned()),
        ("RCLONE_CONFIG_IT_ENV_AUTH", "true".to_owned()),
        ("RCLONE_CONFIG_IT_ENDPOINT", of("ENDPOINT")),
        ("RCLONE_CONFIG", "/dev/null".to_owned()),
    ] {
        command.env(variable, value);
    }
    command.stdin(Stdio::null());
    Some(command)
}

#[track_caller]
fn succeeds(output: std::io::Result<Output>) -> Vec<u8> {
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// Bucket, key, ETag, size and build of each record, in the order of keys.
fn essence(run: &Run) -> Vec<Record> {
    let fields = |record: &serde_json::Value| -> Record {
        let mut record = record.clone();
        let ours = ["bucket", "key", "etag", "size", "build"];
        record
            .as_object_mut()
            .unwrap()
            .retain(|name, _| ours.contains(&&**name));
        serde_json::from_value(record).unwrap()
    };
    let mut records: Vec<Record> = run.records().iter().map(fields).collect();
    records.sort_by(|a, b| a.key.cmp(&b.key));
    records
}

fn leads_to_the_same_builds(bucket: &Bucket, listing: &[u8]) {
    let own = pipeline(vec![
        bucket.tool("s3-list").arg(bucket.url()),
        Tool::new("bh-filter").args(["--known", "none"]),
        bucket.tool("bh-fetch"),
    ]);
    let expected = essence(own.last().unwrap());
    assert_eq!(expected.len(), 3, "{}", own[2]);

    let text = String::from_utf8_lossy(listing);
    let kept = Tool::new("bh-filter")
        .args(["--known", "none"])
        .input(listing);
    let kept = kept.run().exits(0);
    let fetch = bucket.tool("bh-fetch").args(["--bucket", &bucket.name]);
    let fetched = fetch.input(&*kept.stdout).run().exits(0);
    assert_eq!(essence(&fetched), expected, "{text}");
    // bh-filter is not needed in between; folders are not objects.
    let fetch = bucket.tool("bh-fetch").args(["--bucket", &bucket.name]);
    let whole = fetch.input(listing).run().exits(0);
    assert_eq!(essence(&whole).len(), KEYS.len(), "{whole}");

    // Keys known from s3-list are known under the names of the other tool, and
    // vice versa.
    let folder = folder();
    let (theirs, ours) = (folder.path().join("theirs"), folder.path().join("ours"));
    let listed = bucket
        .tool("s3-list")
        .arg(bucket.url())
        .run()
        .exits(0)
        .stdout;
    std::fs::write(&theirs, listing).unwrap();
    std::fs::write(&ours, &listed).unwrap();
    for (known, input) in [(&ours, listing), (&theirs, &*listed)] {
        let run = Tool::new("bh-filter")
            .arg("--known")
            .arg(known)
            .input(input)
            .run()
            .exits(0);
        assert!(run.records().is_empty(), "{run}{text}");
        assert_eq!(run.count("/dropped/known from a file"), 3, "{run}{text}");
    }
}

#[test]
fn listings_of_aws_s3api_are_read() {
    let Some(bucket) = bucket() else { return };
    let (Some(mut aws), Some(mut jq)) = (command("aws"), command("jq")) else {
        return;
    };
    let args = [
        "s3api",
        "list-objects-v2",
        "--output",
        "json",
        "--bucket",
        &bucket.name,
    ];
    let endpoint = std::env::var("TEST_S3_ENDPOINT").unwrap();
    let page = succeeds(aws.args(args).args(["--endpoint-url", &endpoint]).output());
    let folder = folder();
    let file = folder.path().join("page");
    std::fs::write(&file, page).unwrap();
    let listing = succeeds(jq.args(["-c", ".Contents[]"]).arg(&file).output());
    leads_to_the_same_builds(&bucket, &listing);
}

#[test]
fn listings_of_s5cmd_are_read() {
    let Some(bucket) = bucket() else { return };
    let Some(mut s5cmd) = command("s5cmd") else {
        return;
    };
    let url = format!("{}/*", bucket.url());
    let listing = succeeds(s5cmd.args(["--json", "ls", &url]).output());
    leads_to_the_same_builds(&bucket, &listing);
}

#[test]
fn listings_of_rclone_are_read() {
    let Some(bucket) = bucket() else { return };
    for flags in [&["-R", "--hash"][..], &["-R", "--hash", "--files-only"]] {
        let Some(mut rclone) = command("rclone") else {
            return;
        };
        let place = format!("it:{}", bucket.name);
        let listing = succeeds(rclone.arg("lsjson").args(flags).arg(place).output());
        leads_to_the_same_builds(&bucket, &listing);
    }
}
