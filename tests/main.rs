//! Every test goes through the real programs; what they need of servers is
//! named by the environment (see CONTRIBUTING.md), and what is left out for
//! want of one is said.

mod harness;

mod edges;
mod s3_list;
mod secrets;
