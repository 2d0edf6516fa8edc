//! buildhub-pipes: small programs which find, fetch, check and store the
//! build records of Firefox and its siblings.
//!
//! A **record** travels as one line of JSON from a source through stages into
//! a store; a **mark** after some records proves that they are done. From the
//! top down:
//!
//! - [`cli`] makes a process of a stage: it parses the arguments, opens the
//!   streams, and turns the result, an [`error::Error`] or the counts of a
//!   [`counters::Counters`], into an exit status and the last line on standard
//!   error.
//! - [`stage`] has the programs, one module each, in pipeline order `s3_list`,
//!   `s3_inventory`, `bh_filter`, `bh_fetch`, `bh_validate`, `bh_load`, and
//!   beside these `bh_derive`, `kinto_export` and `kinto_load`.
//! - [`remote`] are the clients of servers, [`store`] the databases. Both retry
//!   by [`retry`]. [`resume`] keeps how far a source has come, and what of it
//!   is stored.
//! - [`ndjson`] reads and writes lines, and has the three skeletons of stages.
//! - [`listing`] decides which pages of a bucket to request, and parses them;
//!   [`inventory`] parses the rows of an inventory; [`archive`] describes a
//!   build by the names of its files; [`schema`] validates documents.
//! - [`record`] is plain data: what a line may be. [`json`] reads and writes
//!   documents exactly as CPython does.
//! - [`values`] parses the values of flags, for all of these.
//! - [`context`] is what all parts of a program share: [`log`], [`counters`] and
//!   [`shutdown`].
//!
//! docs/walk.md follows a key, a mark, a reject, a failed request and Ctrl-C
//! through these.

mod address;
pub mod archive;
mod backoff;
pub mod cli;
mod context;
mod counters;
mod disk;
pub mod error;
mod file_format;
mod hex;
mod inventory;
mod json;
pub mod listing;
mod log;
mod metrics;
mod ndjson;
mod panics;
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
