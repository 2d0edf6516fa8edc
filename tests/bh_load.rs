//! bh-load.

mod batches;
mod documents;
mod durable;
mod index;
mod index_faults;
mod not_taken;
mod pooled;
mod refused;
mod roles;
mod rows;
mod schemas;
mod side_by_side;
mod sqlite;
mod tables;
mod tls;
mod urls;
