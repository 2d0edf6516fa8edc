//! sqs-delete: deletes what is confirmed, gives up the rest.

use std::sync::Arc;
use std::sync::Mutex;

use aws_sdk_sqs::types::Message;
use serde_json::{Value, json};

use crate::harness::Run;
use crate::harness::queue::{Queue, SERVERS, StandIn, mark_of, queues, tool};
use crate::harness::sample::ndjson;

/// Returns these marks as a whole run.
fn run_of(marks: &[Value]) -> Vec<u8> {
    let begin = json!({"mark": {"begin": {"run": "r", "source": "queue", "part": null,
        "started": "2026-01-02T03:04:05.678Z", "criteria": {}}}});
    let end = json!({"mark": {"end": {"run": "r", "units": marks.len(),
        "as_of": "2026-01-02T03:04:05.678Z"}}});
    ndjson([&begin].into_iter().chain(marks).chain([&end]))
}

fn held(mark: &Value) -> Value {
    let message = &mark["mark"]["message"];
    json!({"mark": {"held": {"message": message, "by": "bh-fetch", "why": "failed"}, "counts": []}})
}

fn delete(queue: &Queue, marks: &[Value]) -> Run {
    queue.tool("sqs-delete").input(run_of(marks)).run()
}

/// Receives `count` messages, in any number of requests.
fn receive(queue: &Queue, count: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    while messages.len() < count {
        messages.extend(queue.receive());
    }
    messages
}

const RECEIVED: &str = "2026-01-02T03:04:05.678Z";

#[test]
fn confirmed_messages_are_deleted_and_held_ones_are_kept() {
    for queue in queues() {
        for n in 0..25 {
            queue.send(&format!("m{n}"));
        }
        let messages = receive(&queue, 25);
        let marks = messages
            .iter()
            .map(|message| mark_of(&queue.url, message, RECEIVED));
        let mut marks: Vec<Value> = marks.collect();
        marks[7] = held(&marks[7]);
        let run = delete(&queue, &marks).exits(0);
        assert_eq!(
            run.told(),
            ["sqs-delete: 25 in = 24 deleted + 1 held; 24 marks; 1 unit held"]
        );
        assert_eq!(queue.counts(), (0, 1), "{run}");
    }
}

#[test]
fn a_message_of_another_queue_is_not_deleted() {
    for queue in queues() {
        queue.send("m");
        let messages = receive(&queue, 1);
        let mark = mark_of("http://127.0.0.1:1/1/other", &messages[0], RECEIVED);
        let run = delete(&queue, &[mark]).exits(0);
        assert_eq!(
            (run.count("/out"), run.count("/dropped/of another queue")),
            (0, 1)
        );
        run.says("give both programs the same URL");
        assert_eq!(queue.counts(), (0, 1));
    }
}

/// ElasticMQ refuses a handle that a later receive has replaced.
#[test]
fn a_stale_handle_is_counted_and_each_mark_deletes_by_its_own() {
    let Some(queue) = Queue::new(SERVERS[0], &[]) else {
        return;
    };
    queue.send("m");
    let first = receive(&queue, 1);
    queue.show(&first[0]);
    let second = receive(&queue, 1);
    let [first, second] = [first, second].map(|of| mark_of(&queue.url, &of[0], RECEIVED));
    let run = delete(&queue, &[first]).exits(0);
    run.says("it was visible again before its mark came");
    assert_eq!(queue.counts(), (0, 1));
    let run = delete(&queue, &[second]).exits(0);
    assert_eq!(run.told(), ["sqs-delete: 1 in = 1 deleted; 1 mark"]);
    assert_eq!(queue.counts(), (0, 0));
}

/// Otherwise the queue would deliver them out of order.
#[test]
fn messages_after_a_held_one_of_their_group_are_given_up_too() {
    for server in SERVERS {
        let Some(queue) = Queue::fifo(server) else {
            continue;
        };
        for n in 0..3 {
            queue.send_to("a", &format!("a{n}"));
        }
        queue.send_to("b", "b0");
        let mut messages = receive(&queue, 4);
        messages.sort_by_key(|message| message.body.clone());
        let marks = messages
            .iter()
            .map(|message| mark_of(&queue.url, message, RECEIVED));
        let mut marks: Vec<Value> = marks.collect();
        marks[1] = held(&marks[1]);
        let run = delete(&queue, &marks).exits(0);
        assert_eq!(run.count("/out"), 2, "{run}");
        assert_eq!(
            run.count("/dropped/after a held one of their group"),
            1,
            "{run}"
        );
        // What the queue delivers later is in order again.
        let later = "2026-01-02T03:05:05.678Z";
        let again: Vec<Value> = messages[1..3]
            .iter()
            .map(|message| mark_of(&queue.url, message, later))
            .collect();
        let marks = [&marks[1..2], &again].concat();
        let run = delete(&queue, &marks).exits(0);
        assert_eq!(
            (run.count("/out"), run.count("/dropped/held")),
            (2, 1),
            "{run}"
        );
    }
}

#[test]
fn an_entry_that_failed_is_tried_again_alone_and_by_its_own_handle() {
    let asked = Arc::<Mutex<Vec<Vec<String>>>>::default();
    let seen = Arc::clone(&asked);
    let queue = StandIn::new(move |_, _, body| {
        let entries = body["Entries"].as_array().unwrap();
        let handle = |entry: &Value| entry["ReceiptHandle"].as_str().unwrap().to_owned();
        let mut seen = seen.lock().unwrap();
        let before: Vec<String> = seen.concat();
        seen.push(entries.iter().map(handle).collect());
        let (mut done, mut failed) = (vec![], vec![]);
        for entry in entries {
            match (before.contains(&handle(entry)), &*handle(entry)) {
                (false, "h3" | "h7") => failed
                    .push(json!({"Id": entry["Id"], "SenderFault": false,
                    "Code": "InternalError"})),
                (_, "h5") => failed.push(json!({"Id": entry["Id"], "SenderFault": true,
                    "Code": "ReceiptHandleIsInvalid"})),
                _ => done.push(json!({"Id": entry["Id"]})),
            }
        }
        (200, json!({"Successful": done, "Failed": failed}))
    });
    let mark = |n: usize| {
        let message = Message::builder().message_id(format!("m{n}"));
        let message = message.receipt_handle(format!("h{n}")).build();
        mark_of(&queue.url, &message, RECEIVED)
    };
    let marks: Vec<Value> = (0..10).map(mark).collect();
    let run = queue
        .tool("sqs-delete")
        .input(run_of(&marks))
        .run()
        .exits(0);
    let asked = asked.lock().unwrap();
    let times = |handle: &str| asked.iter().flatten().filter(|own| *own == handle).count();
    assert_eq!(
        [times("h3"), times("h7"), times("h5"), times("h0")],
        [2, 2, 1, 1],
        "{asked:?}"
    );
    assert_eq!(
        (run.count("/out"), run.count("/dropped/stale")),
        (9, 1),
        "{run}"
    );
}

#[test]
fn a_run_that_was_cut_ends_with_75() {
    let begin = json!({"mark": {"begin": {"run": "r", "source": "queue", "part": null,
        "started": RECEIVED, "criteria": {}}}});
    let delete = tool("sqs-delete", "http://127.0.0.1:1/1/q");
    let run = delete.input(format!("{begin}\n")).run().exits(75);
    run.says("input ended early");
}
