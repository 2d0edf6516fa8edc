//! Tests run the real programs. Their servers are
//! named by the environment (see CONTRIBUTING.md); a test whose server
//! is missing is skipped, and says so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::format_push_string,
    clippy::too_many_lines,
    reason = "a test that cannot go on has failed, its tables are long and its numbers small"
)]

mod harness;
#[allow(dead_code, reason = "what only its server needs")]
#[path = "../examples/faulty-s3/synthetic/mod.rs"]
mod synthetic;

mod archive;
mod bh_audit;
mod bh_derive;
mod bh_export;
mod bh_fetch;
mod bh_filter;
mod bh_index;
mod bh_load;
mod bh_promote;
mod bh_validate;
mod cron;
mod docs;
mod edges;
mod foreign;
mod hash;
mod hostile;
mod kill;
mod kinto_export;
mod kinto_load;
mod layers;
mod listing;
mod marks;
mod messages;
mod metrics;
mod names;
mod other_protocol;
mod pipeline;
mod progress;
mod proxies;
mod recipes;
mod s3_inventory;
mod s3_list;
mod secrets;
mod sqs_delete;
mod sqs_receive;
mod sqs_send;
mod v1_job;
mod wait_for_servers;
mod waiting;
