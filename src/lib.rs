//! buildhub-pipes: small programs which find, fetch, check and store the
//! build records of Firefox and its siblings.
//!
//! A **record** is one line of JSON. A source writes it, stages drop or extend it,
//! and a sink stores it. A **mark** after some records proves that they are
//! finished. The modules, from the top down:
//!
//! - [`cli`] runs a stage as a process: it parses the arguments, opens the
//!   streams, and turns the result (the counts of [`counters::Counters`], or an
//!   [`error::Error`]) into the exit status and the last line on standard error.
//! - [`stage`] has the programs, one module each. The pipeline is `s3_list` or
//!   `s3_inventory`, `bh_filter`, `bh_fetch`, `bh_validate` and `bh_load`. The others
//!   are `bh_audit`, `bh_promote`, `bh_export`, `bh_index`, `bh_derive`, `kinto_export`,
//!   `kinto_load`, `sqs_receive`, `sqs_delete` and `sqs_send`.
//! - [`ndjson`] reads and writes lines. It has the three skeletons on which stages
//!   are built, checks marks ([`ndjson`]`::StageOutput`), and keeps rejects.
//! - [`remote`] has the clients of servers, [`store`] the databases. Both retry
//!   by [`retry`].
//! - [`indexing`] keeps an index in step with the database.
//! - [`resume`] saves how far a source has come, and what of it is stored.
//! - [`listing`] decides which pages of a bucket to request, and parses them;
//!   [`inventory`] parses the rows of an inventory; [`archive`] derives builds
//!   from file names; [`schema`] validates documents.
//! - [`record`] is plain data: records, marks, rejects, coverage, the ledger.
//!   [`json`] reads and writes documents exactly as CPython does.
//! - [`values`] parses the values of flags. [`limits`] bounds what is read from outside.
//! - [`context`] is shared by all parts of a program: [`log`], [`counters`] and
//!   [`shutdown`].
//!
//! docs/walk.md follows a key, a mark, a reject, a failed request and Ctrl-C
//! through the code.

mod address;
pub mod archive;
mod backoff;
pub mod cli;
mod context;
mod counters;
mod disk;
mod environment;
pub mod error;
mod file_format;
mod hex;
mod indexing;
mod inventory;
mod json;
mod limits;
pub mod listing;
mod log;
mod metrics;
mod ndjson;
mod panics;
mod private_dir;
pub mod progress;
pub mod record;
mod remote;
mod resume;
mod retry;
mod schema;
mod shutdown;
pub mod stage;
mod store;
mod trust;
mod values;
mod yaml;
