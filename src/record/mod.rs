//! Plain data that travels or is kept, without I/O.

pub mod build;
pub mod coverage;
pub mod known;
pub mod mark;
pub mod object;
pub mod reject;
pub mod release;
pub mod sample;
