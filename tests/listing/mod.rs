//! The planner of the parallel listing, against key spaces in virtual time.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "virtual time and shares need no exactness"
)]

mod hostile;
mod hostile_server;
mod inconsistent;
mod layouts;
mod limits;
mod simulator;
mod spaces;
mod survey;
