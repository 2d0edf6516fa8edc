//! Sockets: object storage, search index, the archive of builds and Kinto. The
//! only asynchronous code, and the place where a failed request is tried again or
//! given up.

pub mod archive;
mod cause;
pub mod concurrency;
pub mod download;
pub mod elastic;
pub mod fetch;
mod http;
pub mod kinto;
pub mod reply;
mod retry;
pub mod s3;

use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, Result};

/// Returns a runtime of so many threads, by default one per core, which carry `name`.
///
/// # Errors
/// The system gives no threads (74).
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
