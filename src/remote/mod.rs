//! Clients of servers: object storage, queues, the search index, the archive of builds, and Kinto
//! with its database. All asynchronous code is here.
//!
//! Each client maps what went wrong to a [`Failure`](crate::retry::Failure) in a function
//! `classify`, and sends requests through a [`Retry`](crate::retry::Retry).

pub mod archive;
mod aws;
mod cause;
pub mod concurrency;
pub mod elastic;
mod http;
pub mod kinto;
mod proxy;
pub mod reply;
mod retry;
pub mod s3;
pub mod sqs;

use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, Result};

/// Returns a runtime with `threads` threads, by default one per core, named `name`.
///
/// # Errors
/// The threads cannot be started (74).
pub fn runtime(name: &str, threads: Option<usize>) -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads);
    }
    builder
        .thread_name(name)
        .enable_all()
        .build()
        .map_err(Error::local("threads"))
}
