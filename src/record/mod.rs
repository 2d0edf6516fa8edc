//! Plain data that travels or is kept, without I/O.

pub(crate) mod build;
pub mod coverage;
pub(crate) mod date;
pub(crate) mod event;
pub(crate) mod known;
pub(crate) mod ledger;
pub(crate) mod line;
pub(crate) mod mark;
pub(crate) mod message_mark;
pub(crate) mod misfit;
pub(crate) mod object;
pub(crate) mod reject;
pub(crate) mod release;
pub(crate) mod s3;
pub(crate) mod sample;
pub(crate) mod stage_counts;
pub(crate) mod unit_mark;
pub(crate) mod verdict;
