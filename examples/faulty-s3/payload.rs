//! The body of an answer: whole, or cut in the middle of what its length promised.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::Sleep;

pub struct Payload {
    rest: Option<Bytes>,
    promised: u64,
    cut: Option<Pin<Box<Sleep>>>,
}

impl Payload {
    pub fn whole(bytes: Bytes) -> Self {
        Self {
            promised: bytes.len() as u64,
            rest: Some(bytes).filter(|bytes| !bytes.is_empty()),
            cut: None,
        }
    }

    /// Half of the bytes, then the end of the connection. The pause lets that half be sent first:
    /// hyper drops what it still holds when a body fails.
    pub fn cut(bytes: &Bytes) -> Self {
        Self {
            promised: bytes.len().max(1) as u64,
            rest: Some(bytes.slice(..bytes.len() / 2)).filter(|half| !half.is_empty()),
            cut: Some(Box::pin(tokio::time::sleep(Duration::from_millis(5)))),
        }
    }

    pub fn promised(&self) -> u64 {
        self.promised
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(bytes) = self.rest.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match &mut self.cut {
            None => Poll::Ready(None),
            Some(pause) => pause
                .as_mut()
                .poll(context)
                .map(|()| Some(Err(io::Error::other("cut on order")))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.cut.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.rest, &self.cut) {
            (Some(bytes), None) => SizeHint::with_exact(bytes.len() as u64),
            (None, None) => SizeHint::with_exact(0),
            (_, Some(_)) => SizeHint::default(),
        }
    }
}
