//! An answer that a task of the runtime will give.

use tokio::runtime::Runtime;
use tokio::sync::oneshot::{self, error::TryRecvError};

use crate::error::{Error, Result};
use crate::ndjson::Promise;

/// The promise of what a task returns.
pub struct Reply<A>(oneshot::Receiver<Result<A>>);

impl<A: Send + 'static> Reply<A> {
    /// Starts `work` on `runtime`.
    pub fn spawn(
        runtime: &Runtime,
        work: impl Future<Output = Result<A>> + Send + 'static,
    ) -> Self {
        let (sender, answer) = oneshot::channel();
        runtime.spawn(async move {
            let answer = work.await;
            // The receiver is gone once the stage has stopped.
            drop(sender.send(answer));
        });
        Self(answer)
    }
}

impl<A: Send> Promise for Reply<A> {
    type Answer = A;

    fn poll(&mut self) -> Option<Result<A>> {
        match self.0.try_recv() {
            Ok(answer) => Some(answer),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(Err(lost())),
        }
    }

    fn wait(self) -> Result<A> {
        self.0.blocking_recv().unwrap_or_else(|_| Err(lost()))
    }
}

fn lost() -> Error {
    Error::internal("an answer was lost")
}
