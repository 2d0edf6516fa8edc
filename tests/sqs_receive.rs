//! sqs-receive: the records of messages in every envelope, the marks, and what becomes of the
//! messages.

mod ends;

use std::fs::File;
use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::faulty::{Faulty, object};
use crate::harness::fed::Fed;
use crate::harness::queue::{Queue, SERVERS, StandIn, event, queues, tool};
use crate::harness::sample::{build, key};
use crate::harness::{Run, Tool, folder, lines, start_pipeline, start_pipeline_through, wait_for};

/// Returns the event with which Lambda calls a function for messages with these bodies.
fn lambda(bodies: &[Value]) -> Value {
    let record = |(n, body): (usize, &Value)| {
        let body = body
            .as_str()
            .map_or_else(|| body.to_string(), str::to_owned);
        json!({
            "messageId": format!("m{n}"),
            "receiptHandle": format!("h{n}"),
            "body": body,
            "attributes": {"ApproximateReceiveCount": "1"},
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-west-2:1:q",
        })
    };
    json!({"Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>()})
}

/// Reads messages with these bodies.
fn read(bodies: &[Value], flags: &[&str]) -> Run {
    let tool = Tool::new("sqs-receive").args(["--event", "-"]).args(flags);
    tool.input(lambda(bodies).to_string()).run()
}

fn keys(run: &Run) -> Vec<String> {
    let key = |record: Value| record["key"].as_str().unwrap().to_owned();
    run.records().into_iter().map(key).collect()
}

/// An event of EventBridge, whose keys are not encoded.
fn bridged(kind: &str, key: &str) -> Value {
    json!({
        "version": "0", "id": "1", "source": "aws.s3", "detail-type": kind,
        "time": "2026-01-02T03:04:05Z",
        "detail": {
            "version": "0", "bucket": {"name": "b"}, "reason": "PutObject",
            "object": {"key": key, "size": 9, "etag": "e1", "version-id": "v"},
        },
    })
}

fn notification(event: &Value) -> Value {
    json!({"Type": "Notification", "TopicArn": "t", "Message": event.to_string()})
}

#[test]
fn every_envelope_gives_the_records_of_its_objects() {
    let mut minio = event(&["d%2Fm"]);
    minio["EventName"] = json!("s3:ObjectCreated:Put");
    minio["Key"] = json!("b/d/m");
    minio["Records"][0]["eventSource"] = json!("minio:s3");
    minio["Records"][0]["eventName"] = json!("s3:ObjectCreated:Put");
    minio["Records"][0]["source"] = json!({"host": "127.0.0.1", "port": ""});
    let bodies = [
        event(&["direct", "second"]),
        notification(&event(&["wrapped"])),
        minio,
        bridged("Object Created", "bridged"),
        notification(&bridged("Object Created", "wrapped bridge")),
    ];
    let run = read(&bodies, &[]).exits(0);
    let expected = [
        "direct",
        "second",
        "wrapped",
        "d/m",
        "bridged",
        "wrapped bridge",
    ];
    assert_eq!(keys(&run), expected, "{run}");
    assert_eq!(
        run.records()[0],
        json!({
            "bucket": "b", "key": "direct", "etag": "e1", "size": 9,
            "last_modified": "2026-01-02T03:04:05.678Z",
        })
    );
    assert_eq!(run.told(), ["sqs-receive: 6 in = 6 out; 5 marks"], "{run}");
}

#[test]
fn keys_are_decoded_where_they_are_encoded() {
    let bodies = [
        event(&["a+b%2Bc%25d%3Ae%C3%A9", "%2B"]),
        bridged("Object Created", "a+b%20c"),
    ];
    let run = read(&bodies, &[]).exits(0);
    assert_eq!(keys(&run), ["a b+c%d:eé", "+", "a+b%20c"], "{run}");
}

#[test]
fn a_message_without_created_objects_is_a_mark_alone() {
    let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"});
    let mut removed = event(&["k"]);
    removed["Records"][0]["eventName"] = json!("ObjectRemoved:Delete");
    let mut other = event(&["k"]);
    other["Records"][0]["eventSource"] = json!("aws:ses");
    let bodies = [
        test.clone(),
        notification(&test),
        removed,
        other,
        bridged("Object Deleted", "k"),
        bridged("Object Tags Added", "k"),
    ];
    let run = read(&bodies, &[]).exits(0);
    assert_eq!(run.records(), [] as [Value; 0], "{run}");
    let lines = run.lines();
    let marks: Vec<_> = lines
        .iter()
        .filter(|line| line["mark"]["message"].is_object())
        .collect();
    assert_eq!(marks.len(), 6, "{run}");
    assert_eq!(
        (run.count("/dropped/other events"), run.count("/in")),
        (4, 4),
        "{run}"
    );
}

#[test]
fn the_mark_of_a_message_names_it_and_the_run() {
    let run = read(&[event(&["k"])], &[]).exits(0);
    let lines = run.lines();
    let [begin, _, mark, end] = &lines[..] else {
        panic!("{run}")
    };
    let run_id = &begin["mark"]["begin"]["run"];
    assert_eq!(
        begin["mark"]["begin"]["source"],
        "queue arn:aws:sqs:us-west-2:1:q"
    );
    // Without a part of the key space, bh-load expects no ranges.
    assert_eq!(begin["mark"]["begin"]["part"], json!([]));
    let received = mark["mark"]["message"]["received"].as_str().unwrap();
    assert!(received.parse::<jiff::Timestamp>().is_ok(), "{received}");
    assert_eq!(
        *mark,
        json!({"mark": {
            "message": {
                "queue": "arn:aws:sqs:us-west-2:1:q", "run": run_id, "message_id": "m0",
                "receipt_handle": "h0", "received": received,
            },
            "counts": [{"stage": "sqs-receive", "out": 1}],
        }})
    );
    let end = &end["mark"]["end"];
    assert_eq!((&end["run"], &end["units"]), (run_id, &json!(1)));
    assert_eq!((&end["records"], &end["messages"]), (&json!(1), &json!(1)));
}

#[test]
fn what_is_no_event_holds_its_message_unless_it_is_kept() {
    let mut partly = event(&["a", "b", "c"]);
    partly["Records"][1]["s3"]["object"] = json!({"size": 1});
    let bodies = [json!("not JSON\n"), event(&["k"]), json!({"a": 1}), partly];
    let run = read(&bodies, &[]).exits(65);
    assert_eq!(keys(&run), ["k", "a", "c"], "{run}");
    let lines = run.lines();
    let marks: Vec<&Value> = lines.iter().map(|line| &line["mark"]).collect();
    let held = |id: &str| {
        let is_it = |mark: &&&Value| mark["held"]["message"]["message_id"] == id;
        marks
            .iter()
            .find(is_it)
            .map(|mark| mark["held"]["why"].clone())
    };
    assert_eq!(held("m0"), Some(json!("rejected")), "{run}");
    assert_eq!(held("m1"), None, "{run}");
    assert_eq!(held("m2"), Some(json!("rejected")), "{run}");
    assert_eq!(held("m3"), Some(json!("rejected")), "{run}");

    let folder = folder();
    let file = folder.path().join("rejects");
    let run = read(&bodies, &["--rejects", file.to_str().unwrap()]).exits(65);
    assert!(
        !String::from_utf8_lossy(&run.stdout).contains("\"held\""),
        "{run}"
    );
    let rejects = lines_of_rejects(&file);
    let kinds: Vec<&Value> = rejects
        .iter()
        .map(|reject| &reject["error"]["kind"])
        .collect();
    assert_eq!(kinds, ["not_an_event", "not_an_event", "bad_event"]);
    assert_eq!(rejects[0]["raw"], "not JSON\n");
    assert_eq!(rejects[1]["a"], 1);
    // It can be piped in again.
    assert_eq!(rejects[2]["Records"][0]["s3"]["object"]["size"], 1);
}

fn lines_of_rejects(path: &std::path::Path) -> Vec<Value> {
    lines(&std::fs::read(path).unwrap())
}

#[test]
fn raw_bodies_are_lines_and_never_marks() {
    let mark = json!({"mark": {"message": {"queue": "q", "receipt_handle": "other"}}});
    let bodies = [
        json!({"after": null}),
        json!("{\n\"a\": 1}"),
        json!(mark.to_string()),
        json!(" "),
        json!("two\nlines"),
        json!("text"),
    ];
    let run = read(&bodies, &["--raw"]).exits(65);
    let text = String::from_utf8(run.stdout.clone()).unwrap();
    let records: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("{\"mark\""))
        .collect();
    assert_eq!(
        records,
        ["{\"after\":null}", "{ \"a\": 1}", "text"],
        "{run}"
    );
    assert_eq!(run.count("/rejected/is_a_mark"), 1, "{run}");
    assert_eq!(run.count("/rejected/not_a_line"), 2, "{run}");
    assert!(!text.contains("other"), "{run}");
}

/// With one message in flight, a report that did not come would stop it until the next extension.
#[test]
fn a_drained_queue_is_empty_and_each_message_was_written_once() {
    for queue in queues() {
        for n in 0..12 {
            queue.send(&event(&[&format!("k{n:02}")]));
        }
        let receive =
            queue
                .tool("sqs-receive")
                .args(["--drain", "--wait", "1", "--in-flight", "1"]);
        let tools = vec![receive, queue.tool("sqs-delete")];
        let (started, relay) = start_pipeline_through(tools, Some((0, usize::MAX)));
        let runs: Vec<Run> = started
            .into_iter()
            .map(|one| one.finish().exits(0))
            .collect();
        let passed = lines(&relay.unwrap().passed());
        let mut keys: Vec<&str> = passed
            .iter()
            .filter_map(|line| line["key"].as_str())
            .collect();
        keys.sort_unstable();
        let expected: Vec<String> = (0..12).map(|n| format!("k{n:02}")).collect();
        assert_eq!(keys, expected, "{}", runs[0]);
        assert_eq!(queue.counts(), (0, 0), "{}", runs[1]);
        assert_eq!(runs[1].count("/out"), 12, "{}", runs[1]);
        assert_eq!(runs[0].count("/notes/handles refused"), 0, "{}", runs[0]);
    }
}

#[test]
fn messages_become_rows_and_are_deleted() {
    for queue in queues() {
        let objects: Vec<Value> = (0..20)
            .map(|n| object(&key(n), &build(n).to_string()))
            .collect();
        let s3 = Faulty::start(&objects, &["--bucket", "b"]);
        for n in 0..20 {
            queue.send(&event(&[&key(n)]));
        }
        // An object that is gone is counted, and its message done.
        queue.send(&event(&["gone/buildhub.json"]));
        let folder = folder();
        let database = format!("sqlite:{}/b.db", folder.path().display());
        let load = [
            "--database",
            &*database,
            "--marks",
            "--flush-interval",
            "0.1",
        ];
        let tools = vec![
            queue.tool("sqs-receive").args(["--drain", "--wait", "1"]),
            Tool::new("bh-filter").args(["--known", "none"]),
            s3.tool("bh-fetch"),
            Tool::new("bh-validate"),
            Tool::new("bh-load").args(load),
            queue.tool("sqs-delete"),
        ];
        let started = start_pipeline(tools).into_iter();
        let runs: Vec<Run> = started.map(|one| one.finish().exits(0)).collect();
        assert_eq!(runs[4].count("/out"), 20, "{}", runs[4]);
        assert_eq!(runs[5].count("/out"), 21, "{}", runs[5]);
        assert_eq!(queue.counts(), (0, 0), "{}", runs[5]);
    }
}

#[test]
fn sigterm_is_the_normal_end_and_hides_no_message() {
    for queue in queues() {
        let mut receive = Fed::new(queue.tool("sqs-receive").args(["--wait", "2"]));
        assert!(receive.hear().starts_with("{\"mark\":{\"begin\":"));
        receive.started.signal(Signal::TERM);
        // A poll that is in progress may take it; then it is returned.
        queue.send(&event(&["k"]));
        let end = receive.line();
        assert_eq!(end["mark"]["end"]["messages"], 0, "{end}");
        receive.finish().exits(0);
        let messages = queue.receive();
        assert_eq!(messages.len(), 1);
    }
}

/// A queue with `count` messages, whose extensions are counted.
fn stand_in(count: usize, refuses: bool) -> (StandIn, Arc<AtomicUsize>) {
    let extended = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&extended);
    let stand_in = StandIn::new(move |action, before, body| {
        let entries = || body["Entries"].as_array().cloned().unwrap_or_default();
        let answer = match action {
            "GetQueueAttributes" => json!({"Attributes": {"VisibilityTimeout": "1"}}),
            "ReceiveMessage" if before == 0 => {
                let message = |n: usize| {
                    let body = event(&[&format!("k{n}")]).to_string();
                    json!({"MessageId": format!("m{n}"), "ReceiptHandle": format!("h{n}"),
                        "Body": body})
                };
                json!({"Messages": (0..count).map(message).collect::<Vec<_>>()})
            }
            "ReceiveMessage" => {
                std::thread::park_timeout(std::time::Duration::from_millis(100));
                json!({})
            }
            "ChangeMessageVisibilityBatch" => {
                counted.fetch_add(entries().len(), SeqCst);
                let (mut done, mut failed) = (vec![], vec![]);
                for entry in entries() {
                    if refuses {
                        failed.push(json!({"Id": entry["Id"], "SenderFault": true,
                            "Code": "ReceiptHandleIsInvalid", "Message": "m"}));
                    } else {
                        done.push(json!({"Id": entry["Id"]}));
                    }
                }
                json!({"Successful": done, "Failed": failed})
            }
            _ => json!({"Successful": [], "Failed": []}),
        };
        (200, answer)
    });
    (stand_in, extended)
}

#[test]
fn messages_are_kept_hidden_while_their_reader_stands_still() {
    let (queue, extended) = stand_in(3, false);
    let mut receive = Fed::new(queue.tool("sqs-receive"));
    // Each several times.
    wait_for("extensions", || extended.load(SeqCst) >= 12);
    assert!(receive.hear().starts_with("{\"mark\":{\"begin\":"));
    receive.started.signal(Signal::TERM);
    let run = receive.finish().exits(0);
    run.says("3 messages not reported as deleted");
}

#[test]
fn a_refused_handle_is_reported_once() {
    let (queue, extended) = stand_in(3, true);
    let mut receive = Fed::new(queue.tool("sqs-receive"));
    wait_for("extensions", || extended.load(SeqCst) >= 3);
    receive.started.signal(Signal::TERM);
    while !receive.hear().is_empty() {}
    let run = receive.finish().exits(0);
    assert_eq!(run.count("/notes/handles refused"), 3, "{run}");
    let said = run.stderr.matches("cannot extend a message").count();
    assert_eq!(said, 1, "{run}");
}

#[test]
fn a_missing_queue_is_a_configuration_error() {
    for server in SERVERS {
        let Some(queue) = Queue::new(server, &[]) else {
            continue;
        };
        let missing = tool("sqs-receive", &format!("{}-missing", queue.url));
        missing.run().exits(78).says("no such queue; check its URL");
    }
    let run = Tool::new("sqs-receive").arg("q").run().exits(2);
    run.says("expected the URL of a queue, such as");
    Tool::new("sqs-receive")
        .run()
        .exits(2)
        .says("the URL of the queue is missing");
}

#[test]
fn a_server_that_stays_away_ends_the_run_with_69() {
    let receive = tool("sqs-receive", "http://127.0.0.1:1/1/q").args(["--tries", "2"]);
    let run = receive.run().exits(69);
    run.says("cannot read the attributes of queue http://127.0.0.1:1/1/q");
}

#[test]
fn a_reader_that_leaves_ends_the_receiver_by_sigpipe() {
    let (queue, _) = stand_in(3, false);
    let (stdin, stdout) = std::io::pipe().unwrap();
    let receive = queue
        .tool("sqs-receive")
        .start_with(Stdio::null(), stdout.into());
    drop(stdin);
    receive.finish().dies_by(Signal::PIPE.as_raw());
}

#[test]
fn an_event_that_is_none_of_a_queue_is_a_configuration_error() {
    let folder = folder();
    let path = folder.path().join("event.json");
    let mut file = File::create(&path).unwrap();
    writeln!(file, "{}", event(&["k"])).unwrap();
    let tool = Tool::new("sqs-receive").arg("--event").arg(&path);
    tool.run()
        .exits(78)
        .says("not an event of Lambda with messages of SQS");
}
