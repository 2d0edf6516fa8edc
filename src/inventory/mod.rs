//! S3 inventories: from a row in CSV or Parquet to the line of a record.
//!
//! Nothing is read or written here: [`columns`] says where in a row what
//! stands, [`csv`] finds the rows of a block, [`row`] makes a line of one,
//! [`manifest`] names the files.

pub mod columns;
pub mod csv;
pub mod manifest;
pub mod row;
