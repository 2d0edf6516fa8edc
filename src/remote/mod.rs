//! Sockets: object storage, search index, the archive of builds and Kinto. The
//! only asynchronous code, and the place where a failed request is tried again or
//! given up.

pub mod archive;
pub mod concurrency;
pub mod download;
pub mod elastic;
mod failure;
pub mod fetch;
pub mod http;
pub mod kinto;
pub mod reply;
mod retry;
pub mod s3;
