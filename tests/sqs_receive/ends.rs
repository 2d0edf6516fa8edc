//! When sqs-receive ends: after SIGTERM, and with --drain.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use rustix::process::Signal;
use serde_json::json;

use super::keys;
use crate::harness::fed::Fed;
use crate::harness::queue::{StandIn, event, queues, tool};
use crate::harness::{Run, Started, start_pipeline, wait_for};

#[test]
fn sigterm_ends_the_wait_for_a_server_that_was_never_there() {
    let receive = tool("sqs-receive", "http://127.0.0.1:1/1/q").args(["--tries", "1000"]);
    let mut receive = Fed::new(receive);
    assert!(receive.hear().starts_with("{\"mark\":{\"begin\":"));
    receive.started.signal(Signal::TERM);
    let end = receive.line();
    assert_eq!(end["mark"]["end"]["messages"], 0, "{end}");
    receive.finish().exits(0);
}

#[test]
fn sigterm_ends_the_wait_for_a_server_that_has_gone_away() {
    let asked = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&asked);
    let queue = StandIn::new(move |action, _, _| {
        if action == "GetQueueAttributes" {
            return (200, json!({"Attributes": {"VisibilityTimeout": "30"}}));
        }
        counted.fetch_add(1, SeqCst);
        (500, json!({}))
    });
    let mut receive = Fed::new(queue.tool("sqs-receive").args(["--tries", "1000"]));
    assert!(receive.hear().starts_with("{\"mark\":{\"begin\":"));
    wait_for("a second try", || asked.load(SeqCst) >= 2);
    receive.started.signal(Signal::TERM);
    let end = receive.line();
    assert_eq!(end["mark"]["end"]["messages"], 0, "{end}");
    receive.finish().exits(0);
}

#[test]
fn a_queue_with_too_many_messages_in_flight_is_waited_for() {
    let queue = StandIn::new(|action, before, _| match action {
        "GetQueueAttributes" => (200, json!({"Attributes": {"VisibilityTimeout": "30"}})),
        "ReceiveMessage" if before < 2 => (
            400,
            json!({"__type": "com.amazonaws.sqs#OverLimit", "message": "m"}),
        ),
        "ReceiveMessage" if before == 2 => {
            let body = event(&["k"]).to_string();
            let message = json!({"MessageId": "m", "ReceiptHandle": "h", "Body": body});
            (200, json!({"Messages": [message]}))
        }
        "ReceiveMessage" => {
            std::thread::park_timeout(std::time::Duration::from_millis(100));
            (200, json!({}))
        }
        _ => (200, json!({"Successful": [], "Failed": []})),
    });
    let mut receive = Fed::new(queue.tool("sqs-receive").args(["--tries", "1"]));
    assert!(receive.hear().starts_with("{\"mark\":{\"begin\":"));
    assert_eq!(receive.line()["key"], "k");
    receive.started.signal(Signal::TERM);
    let run = receive.finish().exits(0);
    assert_eq!(run.count("/notes/waits for messages in flight"), 2, "{run}");
    assert_eq!(run.stderr.matches("too many messages").count(), 1, "{run}");
}

#[test]
fn a_drained_queue_ends_the_run_although_nobody_deletes() {
    for queue in queues() {
        for key in ["a", "b", "c"] {
            queue.send(&event(&[key]));
        }
        // As many as may be in flight.
        let drain = ["--drain", "--wait", "1", "--no-marks", "--in-flight", "3"];
        let run = queue.tool("sqs-receive").args(drain).run().exits(0);
        let mut keys = keys(&run);
        keys.sort_unstable();
        assert_eq!(keys, ["a", "b", "c"], "{run}");
    }
}

#[test]
fn messages_whose_marks_nobody_takes_are_waited_for_once() {
    for queue in queues() {
        queue.send(&event(&["a"]));
        let drain = ["--drain", "--wait", "1", "--visibility", "4"];
        let run = queue.tool("sqs-receive").args(drain).run().exits(0);
        assert_eq!(keys(&run)[0], "a", "{run}");
    }
}

#[test]
fn a_message_that_is_held_every_time_does_not_keep_the_run() {
    // It is hidden when a poll ends, or each poll brings it.
    for (wait, visibility) in [("1", "3"), ("5", "2")] {
        for queue in queues() {
            queue.send("not JSON");
            queue.send(&event(&["k"]));
            let drain = ["--drain", "--wait", wait, "--visibility", visibility];
            let tools = vec![
                queue.tool("sqs-receive").args(drain),
                queue.tool("sqs-delete"),
            ];
            let started = start_pipeline(tools).into_iter();
            let runs: Vec<Run> = started.map(Started::finish).collect();
            let (waiting, hidden) = queue.counts();
            assert_eq!(waiting + hidden, 1, "{}", runs[1]);
            assert_eq!(runs[0].status.code(), Some(65), "{}", runs[0]);
        }
    }
}
