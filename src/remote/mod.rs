//! Sockets: object storage and search index. The only asynchronous code, and
//! the place where a failed request is tried again or given up.

pub mod download;
pub mod elastic;
mod failure;
pub mod fetch;
pub mod pace;
pub mod retry;
pub mod s3;
