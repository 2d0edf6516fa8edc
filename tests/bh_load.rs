//! bh-load.

mod batches;
mod rows;
mod side_by_side;
mod tables;
