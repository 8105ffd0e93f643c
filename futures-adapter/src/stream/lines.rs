//! [`Lines`]: the lines of a stream as a [`futures::Stream`].

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use facade_engine::{Bytes, Error, Result, adapter::HandleExt};
use futures::stream::FusedStream;

#[cfg(doc)]
use crate::stream::Stream;
use crate::{operation::Submitted, stream::ReadHalf};

/// The lines of a stream; from [`Stream::lines`], where there is an example. Dropping it loses
/// none.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Lines<'a> {
    pub(super) half: &'a mut ReadHalf,
    pub(super) read: Option<Submitted<Bytes>>,
    pub(super) state: LinesState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinesState {
    /// There may be lines.
    Lines,
    /// The stream has ended, perhaps within a line.
    Rest,
    Ended,
}

impl futures::Stream for Lines<'_> {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if this.state == LinesState::Ended {
                return Poll::Ready(None);
            }
            let (state, stream) = (this.state, this.half.engine());
            if this.read.is_none()
                && state == LinesState::Lines
                && let Some(line) = stream.handle().try_read_line(stream)
            {
                return Poll::Ready(Some(Ok(line)));
            }
            let outcome = ready!(Submitted::poll_or_submit(&mut this.read, context, |callback| {
                match state {
                    LinesState::Lines => stream.handle().read_line(stream, callback),
                    _ => stream.handle().read_all(stream, callback),
                }
            }));
            match (state, outcome) {
                (LinesState::Lines, Err(Error::EndOfStream)) => this.state = LinesState::Rest,
                (LinesState::Rest, outcome) => {
                    this.state = LinesState::Ended;
                    return Poll::Ready(
                        Some(outcome).filter(|rest| !rest.as_ref().is_ok_and(Bytes::is_empty)),
                    );
                }
                (_, Err(error)) => {
                    // It would fail again and again, until somebody does something about it.
                    this.state = LinesState::Ended;
                    return Poll::Ready(Some(Err(error)));
                }
                (_, line) => return Poll::Ready(Some(line)),
            }
        }
    }
}

/// After its last item it yields none, however often it is polled.
impl FusedStream for Lines<'_> {
    fn is_terminated(&self) -> bool {
        self.state == LinesState::Ended
    }
}
