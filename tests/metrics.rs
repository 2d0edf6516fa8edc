//! What is sent to statsd agrees with the summaries.

use std::collections::BTreeMap;
use std::net::UdpSocket;

use serde_json::{Value, json};

use crate::harness::faulty::{Faulty, object};
use crate::harness::sample::{build, key, record};
use crate::harness::{Run, Tool, folder, pipeline};

/// A server of statsd.
struct Statsd(UdpSocket);

impl Statsd {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    fn port(&self) -> String {
        self.0.local_addr().unwrap().port().to_string()
    }

    /// Returns a program that sends its metrics here.
    fn gets(&self, tool: Tool) -> Tool {
        tool.env("STATSD_HOST", "localhost")
            .env("STATSD_PORT", self.port())
            .env("STATSD_NAMESPACE", "hub")
    }

    /// Returns what programs that have ended have sent: the sum of each counter, and how often
    /// each time was sent.
    fn received(&self) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        let mut bytes = [0; 1000];
        while let Ok(read) = self.0.recv(&mut bytes) {
            let line = std::str::from_utf8(&bytes[..read]).unwrap();
            let (name, rest) = line.strip_prefix("hub.").unwrap().split_once(':').unwrap();
            let (value, kind) = rest.split_once('|').unwrap();
            let value: u64 = value.parse().unwrap();
            let (name, value) = match kind.split_once('|') {
                None if kind == "c" => (name.to_owned(), value),
                None if kind == "ms" => (format!("times of {name}"), 1),
                Some(("c", tags)) => (format!("{name} {tags}"), value),
                _ => panic!("{line}"),
            };
            *sums.entry(name).or_default() += value;
        }
        sums
    }
}

/// Returns the sum of the counts below `pointer` in a summary.
fn sum(run: &Run, pointer: &str) -> u64 {
    let counts = run.summary.pointer(pointer).and_then(Value::as_object);
    counts.unwrap().values().filter_map(Value::as_u64).sum()
}

#[test]
fn metrics_of_a_backfill_agree_with_the_summaries() {
    let statsd = Statsd::new();
    let builds = (0..30).map(|n| object(&key(n), &build(n).to_string()));
    let others = (0..7).map(|n| object(&format!("other/{n}.txt"), "no build"));
    let bad = [
        object("x/buildhub.json", "["),
        object("y/buildhub.json", "{}"),
    ];
    let objects: Vec<Value> = builds.chain(others).chain(bad).collect();
    let faulty = Faulty::start(&objects, &[]);
    let folder = folder();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (database, rejects) = (format!("sqlite:{}", at("b.db")), at("rejects"));
    let s3 = ["--endpoint-url", &faulty.url, "--no-sign-request"];
    for round in 0..2 {
        let tools = vec![
            Tool::new("s3-list")
                .args(s3)
                .args(["--page-size", "10", "s3://bench"]),
            Tool::new("bh-filter").args(["--database", &database]),
            Tool::new("bh-fetch").args(s3).args(["--rejects", &rejects]),
            Tool::new("bh-validate").args(["--rejects", &rejects]),
            Tool::new("bh-load").args(["--database", &database]),
        ];
        let runs = pipeline(tools.into_iter().map(|tool| statsd.gets(tool)).collect());
        let received = statsd.received();
        let get = |name: &str| received.get(name).copied().unwrap_or(0);
        let [_, filter, fetch, validate, load] = &runs[..] else {
            panic!()
        };
        assert_eq!(get("backfill_listed"), filter.count("/in"), "{filter}");
        assert_eq!(get("backfill_listed"), 39);
        let matched = filter.count("/in") - filter.count("/dropped/other keys");
        assert_eq!(get("backfill_matched"), matched, "{filter}");
        assert_eq!(get("backfill_inserted"), load.count("/out"), "{load}");
        assert_eq!(get("backfill_inserted"), if round == 0 { 30 } else { 0 });
        let not_inserted = sum(load, "/dropped");
        assert_eq!(get("backfill_not_inserted"), not_inserted, "{load}");
        let rejected: u64 = runs.iter().map(|run| sum(run, "/rejected")).sum();
        let tagged = received
            .iter()
            .filter(|(name, _)| name.starts_with("rejected "));
        assert_eq!(tagged.map(|(_, count)| count).sum::<u64>(), rejected);
        assert_eq!(
            get("rejected #kind:not_json,program:bh-fetch"),
            fetch.count("/rejected/not_json"),
            "{received:?}"
        );
        assert_eq!(
            get("rejected #kind:schema,program:bh-validate"),
            validate.count("/rejected/schema"),
            "{received:?}"
        );
        assert_eq!(
            matched,
            get("backfill_inserted") + not_inserted + filter.count("/dropped/known") + rejected
        );
        assert_eq!(get("times of backfill"), 1, "{received:?}");
        assert!(!received.keys().any(|name| name.contains("sqs_")));
    }
}

#[test]
fn metrics_of_a_queue_agree_with_the_summaries() {
    let statsd = Statsd::new();
    let other = json!({"bucket": "b", "key": "other.txt"});
    let messages = [
        vec![record(0)],
        vec![other],
        vec![record(1), record(0)],
        vec![],
    ];
    let begin = json!({"run": "r", "source": "q", "part": [], "criteria": {},
        "started": "2026-11-29T20:00:00Z"});
    let mut input = format!("{}\n", json!({"mark": {"begin": begin}}));
    for (n, records) in messages.iter().enumerate() {
        for record in records {
            input += &format!("{record}\n");
        }
        let mark = json!({"queue": "q", "receipt_handle": n.to_string(),
            "received": "2026-11-29T20:00:00.123Z"});
        input += &format!("{}\n", json!({"mark": {"message": mark, "counts": []}}));
    }
    let end = json!({"run": "r", "units": messages.len(), "as_of": "2026-11-29T20:00:00Z"});
    input += &format!("{}\n", json!({"mark": {"end": end}}));
    let filter = statsd.gets(Tool::new("bh-filter").arg("--no-known").input(input));
    let filter = filter.run().exits(0);
    let load = Tool::new("bh-load").args(["--database", "sqlite:b.db"]);
    let load = statsd
        .gets(load.input(filter.stdout.clone()))
        .run()
        .exits(0);
    let received = statsd.received();
    let get = |name: &str| received.get(name).copied().unwrap_or(0);
    assert_eq!(get("sqs_messages"), 4);
    assert_eq!(
        get("sqs_not_key_matched"),
        filter.count("/dropped/other keys")
    );
    assert_eq!(
        get("sqs_key_matched") + get("sqs_not_key_matched"),
        filter.count("/in")
    );
    assert_eq!(get("sqs_inserted"), load.count("/out"), "{load}");
    assert_eq!(
        get("sqs_inserted") + get("sqs_not_inserted"),
        load.count("/in"),
        "{load}"
    );
    assert_eq!((get("sqs_inserted"), get("sqs_not_inserted")), (2, 1));
    assert_eq!(get("times of sqs_process_buildhub_json_key"), 2);
    assert!(!received.keys().any(|name| name.contains("backfill")));
}

#[test]
fn nothing_is_sent_without_a_host_and_a_wrong_one_is_a_warning() {
    let statsd = Statsd::new();
    let tool = || Tool::new("bh-validate").env("STATSD_PORT", statsd.port());
    tool().input("{}\n").run().exits(65);
    assert_eq!(statsd.received(), BTreeMap::new());
    let run = tool().env("STATSD_HOST", "127.0.0.1");
    let run = run.env("STATSD_PORT", "statsd").input("\n").run().exits(0);
    run.says("cannot send metrics to \"127.0.0.1\"");
}
