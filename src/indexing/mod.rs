//! Keeps the index in step with the database: which index follows it, and the documents that
//! are queued for it.

pub mod follow;
mod refused;
mod send;

pub use self::refused::report_refused;
pub use self::send::{IndexerThread, document, panicked};
