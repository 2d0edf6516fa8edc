//! buildhub-pipes: small programs which find, fetch, check and store the
//! build records of Firefox and its siblings.
//!
//! A **record** travels as one line of JSON from a source through stages into
//! a store. [`ndjson`] reads and writes the lines; [`record`] is what a line
//! may be: an object, a mark, a reject. Each program is one module of
//! [`stage`], in pipeline order `s3_list`, `s3_inventory`, `bh_filter`, `bh_fetch`,
//! `bh_validate`, `bh_load`, and beside these `bh_derive`, `kinto_export` and
//! `kinto_load`, and says in its signature what it touches: [`remote`] (sockets)
//! or [`store`] (databases).
//! [`listing`] says which pages of a bucket to ask for, and reads them;
//! [`inventory`] reads the rows of an inventory; [`archive`] tells a build by the
//! names of its files. [`json`] reads documents
//! exactly as CPython does, [`schema`] judges them. [`cli`] makes a process of
//! a stage: it parses the arguments, opens the streams, and turns the result,
//! an [`error::Error`] or the counts of a [`counters::Counters`], into an exit
//! status and the last line on standard error. [`resume`] keeps how far a source
//! has come, and what of it is stored.

mod address;
pub mod archive;
mod backoff;
pub mod cli;
mod context;
mod counters;
mod disk;
pub mod error;
mod hex;
mod inventory;
mod json;
pub mod listing;
mod log;
mod metrics;
mod ndjson;
pub mod progress;
pub mod record;
mod remote;
mod resume;
mod retry;
mod schema;
mod shutdown;
pub mod stage;
mod store;
mod yaml;
