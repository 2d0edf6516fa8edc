//! sqs-send: each line is a message, or a reject that says why not.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::queue::{Queue, SERVERS, StandIn, queues};
use crate::harness::{folder, lines};

/// Receives all messages of a queue, sorted.
fn bodies(queue: &Queue, count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    while bodies.len() < count {
        bodies.extend(
            queue
                .receive()
                .into_iter()
                .map(|message| message.body.unwrap()),
        );
    }
    bodies.sort();
    bodies
}

#[test]
fn each_line_becomes_a_message() {
    for queue in queues() {
        let sent: Vec<String> = (0..25)
            .map(|n| json!({"n": format!("{n:02}")}).to_string())
            .collect();
        let run = queue
            .tool("sqs-send")
            .input(sent.join("\n") + "\n")
            .run()
            .exits(0);
        assert_eq!(run.told(), ["sqs-send: 25 in = 25 sent"], "{run}");
        assert_eq!(bodies(&queue, 25), sent);
    }
}

/// ElasticMQ refuses what AWS refuses; moto takes everything.
#[test]
fn characters_that_the_queue_refuses_are_escaped_in_json() {
    for queue in queues() {
        let input = "{\"a\":\"\u{fffe}é😀\"}\nplain \u{fffe}\n\u{1}\n";
        let run = queue.tool("sqs-send").input(input).run().exits(65);
        assert_eq!(run.count("/rejected/not_sendable"), 2, "{run}");
        assert_eq!(bodies(&queue, 1), ["{\"a\":\"\\ufffeé😀\"}"]);
    }
}

#[test]
fn a_line_that_is_too_long_is_named_and_the_others_are_sent() {
    let Some(queue) = Queue::new(SERVERS[0], &[]) else {
        return;
    };
    let (longest, long) = ("a".repeat(1_048_576), "b".repeat(1_048_577));
    let folder = folder();
    let file = folder.path().join("rejects");
    let tool = queue.tool("sqs-send").arg("--rejects").arg(&file);
    let run = tool
        .input(format!("x\n{longest}\n{long}\ny\n"))
        .run()
        .exits(65);
    assert_eq!(
        (run.count("/out"), run.count("/rejected/too_long")),
        (3, 1),
        "{run}"
    );
    let rejects = lines(&std::fs::read(file).unwrap());
    assert_eq!(rejects[0]["error"]["line"], 3);
    assert_eq!(bodies(&queue, 3), [&*longest, "x", "y"]);
}

#[test]
fn a_request_has_at_most_ten_messages_and_a_mebibyte() {
    let asked = Arc::<Mutex<Vec<Vec<usize>>>>::default();
    let seen = Arc::clone(&asked);
    let queue = StandIn::new(move |_, _, body| {
        let entries = body["Entries"].as_array().unwrap();
        let length = |entry: &Value| entry["MessageBody"].as_str().unwrap().len();
        seen.lock()
            .unwrap()
            .push(entries.iter().map(length).collect());
        let done =
            |entry: &Value| json!({"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "0"});
        (
            200,
            json!({"Successful": entries.iter().map(done).collect::<Vec<_>>(), "Failed": []}),
        )
    });
    let half = "a".repeat(524_288);
    let lines: Vec<&str> = [[&*half; 5].as_slice(), &["b"; 35]].concat();
    let run = queue
        .tool("sqs-send")
        .input(lines.join("\n") + "\n")
        .run()
        .exits(0);
    assert_eq!(run.count("/out"), 40, "{run}");
    for request in asked.lock().unwrap().iter() {
        assert!(
            request.len() <= 10 && request.iter().sum::<usize>() <= 1_048_576,
            "{request:?}"
        );
    }
}

#[test]
fn an_entry_that_the_queue_refuses_is_a_reject() {
    let queue = StandIn::new(|_, _, body| {
        let (mut done, mut failed) = (vec![], vec![]);
        for entry in body["Entries"].as_array().unwrap() {
            if entry["MessageBody"] == "bad" {
                failed.push(json!({"Id": entry["Id"], "SenderFault": true, "Code": "X",
                    "Message": "why"}));
            } else {
                done.push(json!({"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "0"}));
            }
        }
        (200, json!({"Successful": done, "Failed": failed}))
    });
    let run = queue.tool("sqs-send").input("a\nbad\nc\n").run().exits(65);
    assert_eq!(
        (run.count("/out"), run.count("/rejected/refused")),
        (2, 1),
        "{run}"
    );
    run.says("line 2: refused: X why");
}
