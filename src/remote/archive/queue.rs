//! The queue of builds being derived, in any order.

use std::sync::Arc;

use tokio::runtime::Runtime;

use super::derive::{DeriveOutcome, Deriver};
use crate::archive::build::Build;
use crate::archive::event::CreatedObject;
use crate::archive::merge::ArchiveFile;
use crate::remote::reply::Reply;

/// What is to be looked into.
pub enum Job {
    Build(Build, ArchiveFile),
    /// An object that came, of the product of this folder.
    Event(String, CreatedObject),
}

/// The promise of what becomes of a job.
pub type DeriveTicket = Reply<Vec<DeriveOutcome>>;

pub struct DeriveQueue {
    runtime: Runtime,
    deriver: Arc<Deriver>,
}

impl DeriveQueue {
    #[must_use]
    pub fn new(runtime: Runtime, deriver: Deriver) -> Self {
        let deriver = Arc::new(deriver);
        Self { runtime, deriver }
    }

    pub fn queue(&self, job: Job) -> DeriveTicket {
        let deriver = Arc::clone(&self.deriver);
        Reply::spawn(&self.runtime, async move {
            match &job {
                Job::Build(build, file) => deriver.derive(build, file).await.map(|one| vec![one]),
                Job::Event(folder, object) => deriver.event(folder, object).await,
            }
        })
    }
}
