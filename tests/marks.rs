//! The marks between the programs: what they prove, and what is found out.

mod allowed;
mod database;
mod ends;
mod flags;
mod holes;
mod ledger;
mod matrix;
mod older;
pub mod place;
mod resume;
pub mod written;
