//! Flags that several programs have, and their former names.

use crate::harness::Tool;

fn help(stage: &str, flag: &str) -> String {
    let run = Tool::plain(stage).args([flag, "--help"]).run().exits(0);
    String::from_utf8(run.stdout).unwrap()
}

#[test]
fn former_names_of_flags_work_and_are_not_shown() {
    for (stage, former, name) in [
        ("s3-list", "--timeout=5", "--read-timeout=5s"),
        ("bh-fetch", "--timeout=5", "--read-timeout=5s"),
        ("bh-derive", "--timeout=5", "--request-timeout=5s"),
        ("bh-derive", "--bucket=b", "--archive-bucket=b"),
        ("kinto-load", "--timeout=5", "--request-timeout=5s"),
        ("kinto-load", "--retries=2", "--tries=3"),
        ("kinto-load", "--bucket=b", "--kinto-bucket=b"),
        ("kinto-load", "--collection=c", "--kinto-collection=c"),
        (
            "kinto-export",
            "--database=postgres://x",
            "--kinto-database=postgres://x",
        ),
        ("bh-load", "--skip-validation", "--mark-unvalidated"),
    ] {
        let flag = |given: &str| given.split('=').next().unwrap().to_owned() + " ";
        let text = help(stage, former).replace('\n', " \n");
        assert!(text.contains(&flag(name)), "{stage} {name}: {text}");
        assert!(
            !text.contains(&format!(" {}", flag(former))),
            "{stage} {former}: {text}"
        );
        help(stage, name);
    }
}

#[test]
fn none_is_a_file_like_any_other_but_for_its_former_meaning() {
    let line = "{\"key\":\"a/buildhub.json\",\"etag\":\"e\"}\n";
    for flags in [&["--no-known"][..], &["--known", "none"]] {
        let run = Tool::new("bh-filter")
            .args(flags)
            .input(line)
            .run()
            .exits(0);
        assert_eq!(run.told(), ["bh-filter: 1 in = 1 out"]);
    }
    let folder = crate::harness::folder();
    std::fs::write(folder.path().join("none"), line).unwrap();
    let tool = Tool::new("bh-filter").folder(folder.path());
    let run = tool.args(["--known", "./none"]).input(line).run().exits(0);
    assert_eq!(run.count("/dropped/known from a file"), 1, "{run}");
}

#[test]
fn values_that_are_no_times_sizes_dates_or_patterns_are_refused_in_the_same_words() {
    let time = "expected a time, such as 30s, 5m, 12h or 7d; a bare number is ";
    for (stage, flag, said) in [
        ("s3-list", "--read-timeout=soon", time),
        ("s3-list", "--read-timeout=0", "expected at least 1s"),
        ("s3-list", "--progress-interval=soon", time),
        ("bh-load", "--flush-interval=soon", time),
        ("kinto-load", "--flush-interval=soon", time),
        ("kinto-load", "--request-timeout=soon", time),
        ("bh-derive", "--max-age=soon", time),
        ("bh-derive", "--refresh=soon", time),
        (
            "bh-fetch",
            "--max-size=big",
            "expected a size, such as 1000000, 16M, 16MiB or 16MB",
        ),
        (
            "kinto-export",
            "--since=yesterday",
            "expected a date, such as 2026-01-31",
        ),
        (
            "bh-filter",
            "--suffix=*.json",
            "taken as it stands, without wildcards: try .json",
        ),
        (
            "bh-filter",
            "--key-regex=*.json",
            "not a glob: try '.*\\.json$'",
        ),
    ] {
        Tool::plain(stage).arg(flag).run().exits(2).says(said);
    }
}

/// A server that is not there: its address names the bucket.
#[test]
fn kinto_variables_take_precedence_over_short_names_which_cause_a_warning() {
    let kinto = |names: &[(&str, &str)]| {
        let tool = Tool::plain("kinto-export").args(["--tries", "1"]);
        let tool = names
            .iter()
            .fold(tool, |tool, (name, value)| tool.env(name, *value));
        tool.run().exits(69)
    };
    let short = [
        ("SERVER_URL", "http://127.0.0.1:1/v1"),
        ("BUCKET", "short"),
        ("COLLECTION", "few"),
        ("AUTH", "a:b"),
    ];
    let run = kinto(&short).says("/buckets/short/collections/few");
    for (name, _) in short {
        let warning = format!("warning: {name} of the environment is used; call it KINTO_{name}, ");
        assert_eq!(run.stderr.matches(&warning).count(), 1, "{run}");
    }
    let long = [
        ("KINTO_SERVER_URL", "http://127.0.0.1:2/v1"),
        ("KINTO_BUCKET", "long"),
        ("KINTO_COLLECTION", "many"),
        ("KINTO_AUTH", "a:b"),
    ];
    let run = kinto(&[short, long].concat()).says("127.0.0.1:2/v1/buckets/long/collections/many");
    assert!(!run.stderr.contains("of the environment is used"), "{run}");
    // Flags go before both.
    let tool = Tool::plain("kinto-export").args(["--tries", "1", "--kinto-bucket", "flag"]);
    let tool = tool
        .args(["--server", "http://127.0.0.1:3/v1"])
        .env("BUCKET", "short");
    let run = tool.run().exits(69).says("127.0.0.1:3/v1/buckets/flag/");
    assert!(!run.stderr.contains("of the environment is used"), "{run}");
}
