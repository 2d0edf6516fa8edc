//! Plain data that travels or is kept, without I/O.

pub mod build;
pub mod coverage;
pub mod known;
pub mod line;
pub mod mark;
pub mod object;
pub mod reject;
pub mod release;
pub mod s3;
pub mod sample;
