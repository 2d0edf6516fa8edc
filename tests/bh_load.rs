//! bh-load: rows as Buildhub's table holds them, marks as promised.

mod batches;
mod rows;
mod side_by_side;
mod tables;
