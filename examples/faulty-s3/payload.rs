//! The body of an answer: whole, or cut in the middle of what its length promised.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::Sleep;

pub struct Payload {
    /// None of them is empty.
    rest: VecDeque<Bytes>,
    promised: u64,
    cut: Option<Pin<Box<Sleep>>>,
}

impl Payload {
    pub fn whole(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let rest: VecDeque<_> = pieces
            .into_iter()
            .filter(|piece| !piece.is_empty())
            .collect();
        Self {
            promised: length(&rest),
            rest,
            cut: None,
        }
    }

    /// Half of the bytes, then the end of the connection. The pause lets that half be sent first:
    /// hyper drops what it still holds when a body fails.
    pub fn cut(mut self) -> Self {
        let mut left = usize::try_from(self.promised / 2).unwrap_or(usize::MAX);
        for piece in &mut self.rest {
            piece.truncate(left);
            left -= piece.len();
        }
        self.rest.retain(|piece| !piece.is_empty());
        self.promised = self.promised.max(1);
        self.cut = Some(Box::pin(tokio::time::sleep(Duration::from_millis(5))));
        self
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
        if let Some(bytes) = self.rest.pop_front() {
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
        self.rest.is_empty() && self.cut.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.cut {
            None => SizeHint::with_exact(length(&self.rest)),
            Some(_) => SizeHint::default(),
        }
    }
}

fn length(pieces: &VecDeque<Bytes>) -> u64 {
    pieces.iter().map(|piece| piece.len() as u64).sum()
}
