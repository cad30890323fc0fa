//! Answers that a client does not read over HTTP/2.
//!
//! Its flow control holds one answer back while the connection lives on, and the pings of an idle client keep the
//! limit for writes ([`super::write_deadline`]) from seeing anything. So it is noted here when the client last took
//! something of each answer.

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

use super::idle::InFlight;

/// So much is handed over at once, so that who reads slowly is seen to read.
const PIECE: usize = 64 << 10;

/// What the client of one connection has to take.
#[derive(Clone, Debug, Default)]
pub(super) struct Unread {
    answers: Arc<Mutex<Slab<Progress>>>,
}

/// How far the client is with one answer.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// When it last took something of it.
    at: Instant,
    /// Pieces that are on their way.
    pieces: usize,
    body: BodyState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyState {
    /// It is asked for its next piece when there is room for one.
    Offered,
    /// It has nothing for the client now: it is for us to go on.
    Waiting,
    /// All of it was handed over, or nobody wants it any more.
    Gone,
}

impl Progress {
    fn is_late(&self, now: Instant, limit: Duration) -> bool {
        let is_clients = self.pieces > 0 || self.body == BodyState::Offered;
        is_clients && now.duration_since(self.at) >= limit
    }
}

impl Unread {
    /// The same answer, followed; the request is in flight until the client has all of it.
    pub(super) fn follow(&self, request: InFlight, response: Response) -> Response {
        let key = self.lock().insert(Progress {
            at: Instant::now(),
            pieces: 0,
            body: BodyState::Offered,
        });
        let place = Place {
            unread: self.clone(),
            key,
            _request: Arc::new(request),
        };
        response.map(|body| {
            Body::new(Followed {
                place,
                left: Bytes::new(),
                body,
            })
        })
    }

    /// Ends when the client has taken nothing of an answer for `limit`, or somewhat later.
    pub(super) async fn stuck(&self, limit: Duration) {
        loop {
            sleep(limit / 2).await;
            let now = Instant::now();
            if self.is_late(now, limit) {
                return;
            }
        }
    }

    fn is_late(&self, now: Instant, limit: Duration) -> bool {
        let answers = self.lock();
        let mut all = answers.iter().map(|(_, progress)| progress);
        all.any(|progress| progress.is_late(now, limit))
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Progress>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer of a connection.
#[derive(Clone, Debug)]
struct Place {
    unread: Unread,
    key: usize,
    _request: Arc<InFlight>,
}

impl Place {
    /// The client has come further.
    fn note(&self, change: impl FnOnce(&mut Progress)) {
        let mut answers = self.unread.lock();
        let Some(progress) = answers.get_mut(self.key) else {
            return;
        };
        progress.at = Instant::now();
        change(progress);
        if progress.pieces == 0 && progress.body == BodyState::Gone {
            answers.remove(self.key);
        }
    }
}

/// A body whose pieces are followed.
struct Followed {
    place: Place,
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
        self.place.note(|progress| progress.pieces += 1);
        let piece = Piece {
            bytes: piece,
            place: self.place.clone(),
        };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(piece)))))
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
        let body = match frame {
            Poll::Ready(_) => BodyState::Offered,
            Poll::Pending => BodyState::Waiting,
        };
        self.place.note(|progress| progress.body = body);
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

impl Drop for Followed {
    fn drop(&mut self) {
        self.place.note(|progress| progress.body = BodyState::Gone);
    }
}

/// Bytes that are on their way, until they are dropped.
struct Piece {
    bytes: Bytes,
    place: Place,
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.place.note(|progress| progress.pieces -= 1);
    }
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
        let request = crate::http::idle::in_flight();
        unread.follow(request, Response::new(body)).into_body()
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
        let mut body = followed(&unread, "held".into());
        assert!(is_stuck(&unread, LIMIT * 2).await);
        // It was, but it does not go out.
        let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
        drop(body);
        assert!(is_stuck(&unread, LIMIT * 2).await);
        drop(piece);
        assert!(!is_stuck(&unread, LIMIT * 10).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_is_seen_to_read() {
        let unread = Unread::default();
        let mut body = followed(&unread, vec![0; PIECE * 10].into());
        // They are all handed over, and leave one after the other.
        let mut pieces = Vec::new();
        while let Some(frame) = body.frame().await {
            pieces.push(frame.unwrap());
        }
        drop(body);
        for piece in pieces {
            assert!(!is_stuck(&unread, LIMIT * 9 / 10).await);
            drop(piece);
        }
        assert!(unread.lock().is_empty());
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
