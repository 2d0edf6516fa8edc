//! The edges of the programs that use a queue.

use std::fs::File;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::json;

use super::ends::{ASKED, redirected};
use super::{mark, programs};
use crate::harness::Tool;
use crate::harness::fed::Fed;
use crate::harness::queue::StandIn;

/// An empty queue.
fn queue() -> StandIn {
    StandIn::new(|action, _, _| {
        if action == "GetQueueAttributes" {
            (200, json!({"Attributes": {"VisibilityTimeout": "30"}}))
        } else {
            (200, json!({"Successful": [], "Failed": []}))
        }
    })
}

fn of_queues() -> impl Iterator<Item = &'static str> {
    programs().filter(|name| name.starts_with("sqs-"))
}

fn readers() -> impl Iterator<Item = &'static str> {
    of_queues().filter(|name| *name != "sqs-receive")
}

#[test]
fn sigterm_is_the_normal_end_of_sqs_receive_alone() {
    let queue = queue();
    for (signal, _) in ASKED {
        let mut receive = Fed::new(queue.tool("sqs-receive"));
        assert!(receive.hear().starts_with("{\"mark\":{\"begin\":"));
        receive.started.signal(signal);
        let run = receive.finish();
        if signal == Signal::TERM {
            run.exits(0);
        } else {
            run.dies_by(signal.as_raw()).says("stopped by SIGINT");
        }
        for stage in readers() {
            let fed = Fed::new(queue.tool(stage));
            fed.started.signal(signal);
            fed.wait().dies_by(signal.as_raw());
        }
    }
}

#[test]
fn a_full_disk_ends_the_receiver() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let receive = queue().tool("sqs-receive");
    let run = receive.start_with(Stdio::null(), full.into()).finish();
    run.exits(74)
        .says("sqs-receive: standard output: No space left on device");
}

#[test]
fn closed_streams_are_errors() {
    let queue = queue();
    let run = redirected(queue.tool("sqs-receive"), ">&-").run().exits(74);
    run.says("sqs-receive: standard output is closed");
    for stage in readers() {
        let run = redirected(queue.tool(stage), "<&-").run().exits(74);
        run.says(&format!("{stage}: standard input is closed"));
    }
}

#[test]
fn files_that_cannot_be_written_are_named() {
    let queue = queue();
    for stage in of_queues() {
        for flag in ["--rejects", "--summary"] {
            let tool = Tool::plain(stage).arg(&queue.url);
            let run = tool.args([flag, "/dev/null/x"]).run().exits(74);
            run.says(&format!("{stage}: cannot write {flag} /dev/null/x"));
        }
    }
}

#[test]
fn input_without_an_end_mark_or_a_final_newline_is_truncated() {
    let queue = queue();
    for stage in readers() {
        for input in [mark(0) + "\n", mark(0)[..9].to_owned()] {
            let run = queue.tool(stage).input(input).run().exits(75);
            run.says(&format!("{stage}: input ended early: "));
        }
    }
}
