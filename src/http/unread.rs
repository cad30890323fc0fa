//! Answers that a client does not read over HTTP/2.
//!
//! Its flow control holds one answer back while the connection lives on, and the pings of an idle client keep the
//! limit for writes ([`super::write_deadline`]) from seeing anything. So it is noted here since when each piece of an answer
//! is the client's to take.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};
use slab::Slab;
use tokio::time::{Instant, sleep};

/// So much is handed over at once, so that who reads slowly is seen to read.
const PIECE: usize = 64 << 10;

/// What the client of one connection has to take.
#[derive(Clone, Debug, Default)]
pub(super) struct Unread {
    /// Since when; none where it is for us to go on.
    since: Arc<Mutex<Slab<Option<Instant>>>>,
}

impl Unread {
    /// The same answer, followed.
    pub(super) fn follow(&self, response: Response) -> Response {
        response.map(|body| {
            Body::new(Followed {
                place: self.place(),
                unread: self.clone(),
                left: Bytes::new(),
                body,
            })
        })
    }

    /// Ends when the client has not taken something for `limit`, or somewhat later.
    pub(super) async fn stuck(&self, limit: Duration) {
        loop {
            sleep(limit / 2).await;
            let now = Instant::now();
            let is_late = |since: &Instant| now.duration_since(*since) >= limit;
            if self
                .lock()
                .iter()
                .any(|(_, since)| since.as_ref().is_some_and(is_late))
            {
                return;
            }
        }
    }

    /// Something that is the client's to take from now on.
    fn place(&self) -> Place {
        Place {
            key: self.lock().insert(Some(Instant::now())),
            unread: self.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Option<Instant>>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the client has to take until this is dropped.
#[derive(Debug)]
struct Place {
    unread: Unread,
    key: usize,
}

impl Place {
    fn set(&self, since: Option<Instant>) {
        if let Some(own) = self.unread.lock().get_mut(self.key) {
            *own = since;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.unread.lock().try_remove(self.key);
    }
}

/// A body that is asked for its next frame when the client has room for it.
struct Followed {
    place: Place,
    unread: Unread,
    /// What is left of a frame.
    left: Bytes,
    body: Body,
}

impl Followed {
    fn poll_data(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.left.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.left = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return Poll::Ready(other),
            }
        }
        let piece = self.left.split_to(PIECE.min(self.left.len()));
        let taken = Piece {
            bytes: piece,
            _place: self.unread.place(),
        };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(taken)))))
    }
}

impl hyper::body::Body for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = self.poll_data(context);
        self.place.set(frame.is_ready().then(Instant::now));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, left) = (self.body.size_hint(), self.left.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + left);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + left);
        }
        hint
    }
}

/// Bytes that are on their way, until they are dropped.
struct Piece {
    bytes: Bytes,
    _place: Place,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use http_body_util::BodyExt as _;
    use tokio::time::{advance, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn followed(unread: &Unread, body: Body) -> Body {
        unread.follow(Response::new(body)).into_body()
    }

    /// Whether the client is found to be stuck within some time.
    async fn is_stuck(unread: &Unread, time: Duration) -> bool {
        timeout(time, unread.stuck(LIMIT)).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_comes_through_whole_in_small_pieces() {
        let unread = Unread::default();
        let bytes: Vec<u8> = (0..PIECE * 2 + 10).map(|n| n as u8).collect();
        let mut body = followed(&unread, bytes.clone().into());
        assert_eq!(body.size_hint().exact(), Some(bytes.len() as u64));
        let mut got = Vec::new();
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE);
            got.extend_from_slice(&piece);
            assert_eq!(body.is_end_stream(), got.len() == bytes.len());
            assert_eq!(
                body.size_hint().exact(),
                Some((bytes.len() - got.len()) as u64)
            );
        }
        assert_eq!(got, bytes);
        assert_eq!(unread.lock().len(), 1, "the body itself");
        drop(body);
        assert!(unread.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_taken_is_noticed() {
        let unread = Unread::default();
        // Not even the first piece is asked for.
        let body = followed(&unread, "held".into());
        assert!(is_stuck(&unread, LIMIT * 2).await);
        // It was, but it does not go out.
        let mut body = body;
        let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
        drop(body);
        assert!(is_stuck(&unread, LIMIT * 2).await);
        drop(piece);
        assert!(!is_stuck(&unread, LIMIT * 10).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_we_have_not_made_yet_is_not_for_the_client_to_take() {
        let unread = Unread::default();
        let (sender, body) = tokio::sync::mpsc::channel::<Result<Bytes, axum::Error>>(1);
        let stream = tokio_stream::wrappers::ReceiverStream::new(body);
        let mut body = followed(&unread, Body::from_stream(stream));
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut body).poll_frame(&mut context).is_pending());
        assert!(!is_stuck(&unread, LIMIT * 10).await);
        sender.send(Ok(Bytes::from_static(b"now"))).await.unwrap();
        let piece = body.frame().await.unwrap().unwrap();
        advance(LIMIT / 4).await;
        drop(piece);
        assert!(Pin::new(&mut body).poll_frame(&mut context).is_pending());
        assert!(!is_stuck(&unread, LIMIT * 10).await);
    }
}
