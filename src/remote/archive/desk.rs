//! Where builds are handed in, and their records fetched in any order.

use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::derive::{Deriver, Outcome};
use crate::archive::build::Build;
use crate::archive::event::CreatedObject;
use crate::archive::merge::ArchiveFile;
use crate::error::{Error, Kind, Result};

/// What is to be looked into.
pub enum Job {
    Build(Build, ArchiveFile),
    /// An object that came, of the product of this folder.
    Event(String, CreatedObject),
}

/// The promise of an answer.
pub struct Ticket(oneshot::Receiver<Result<Vec<Outcome>>>);

pub struct Desk {
    runtime: Runtime,
    deriver: Arc<Deriver>,
}

impl Desk {
    #[must_use]
    pub fn new(runtime: Runtime, deriver: Deriver) -> Self {
        let deriver = Arc::new(deriver);
        Self { runtime, deriver }
    }

    pub fn queue(&self, job: Job) -> Ticket {
        let (sender, answer) = oneshot::channel();
        let deriver = Arc::clone(&self.deriver);
        self.runtime.spawn(async move {
            let answer = match &job {
                Job::Build(build, file) => deriver.derive(build, file).await.map(|one| vec![one]),
                Job::Event(folder, object) => deriver.event(folder, object).await,
            };
            // Nobody waits any more once the stage has stopped.
            drop(sender.send(answer));
        });
        Ticket(answer)
    }

    /// The answer of `ticket` if it is there.
    pub fn ready(&self, ticket: &mut Ticket) -> Option<Result<Vec<Outcome>>> {
        match ticket.0.try_recv() {
            Ok(answer) => Some(answer),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(lost()),
        }
    }

    /// Waits for the answer of `ticket`.
    pub fn wait(&self, ticket: Ticket) -> Result<Vec<Outcome>> {
        ticket.0.blocking_recv().unwrap_or_else(|_| lost())
    }
}

fn lost() -> Result<Vec<Outcome>> {
    Err(Error::message(Kind::Internal, "a build was lost"))
}
