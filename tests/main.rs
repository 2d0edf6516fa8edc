//! Every test goes through the real programs; what they need of servers is
//! named by the environment (see CONTRIBUTING.md), and what is left out for
//! want of one is said.

mod harness;

mod bh_fetch;
mod bh_filter;
mod bh_load;
mod bh_validate;
mod docs;
mod edges;
mod foreign;
mod hash;
mod kill;
mod layers;
mod pipeline;
mod s3_list;
mod secrets;
