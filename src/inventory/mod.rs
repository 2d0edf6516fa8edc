//! S3 inventories: from rows of CSV or Parquet to lines of records.
//!
//! Nothing is read or written here: [`columns`] finds the columns,
//! [`row_ends`] where rows end, [`csv`] the rows of a block, [`row`] turns a row
//! into a line, and [`manifest`] lists the files.

pub mod columns;
pub mod csv;
pub mod manifest;
pub mod row;
pub mod row_ends;
