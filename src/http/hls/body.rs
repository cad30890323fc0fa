//! A body in pieces that are where the packager keeps them, whole or one range of it.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use crate::http::problem::Problem;
use crate::http::range::{Wanted, wanted};

/// The answer with all of `pieces`, or with what `range` asks for.
pub(super) fn answer(pieces: &Arc<[Bytes]>, range: Option<&str>) -> Result<Response, Problem> {
    let size = pieces.iter().map(Bytes::len).sum();
    match range.map_or(Wanted::Whole, |range| wanted(range, size)) {
        Wanted::Whole => Ok(body(pieces, 0..size).into_response()),
        Wanted::Nothing => Err(Problem::Range { size }),
        Wanted::Part(part) => {
            let content_range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            let headers = [(header::CONTENT_RANGE, content_range)];
            let body = body(pieces, part);
            Ok((StatusCode::PARTIAL_CONTENT, headers, body).into_response())
        }
    }
}

fn body(pieces: &Arc<[Bytes]>, range: Range<usize>) -> Body {
    if let [only] = &**pieces {
        return only.slice(range).into();
    }
    Body::new(Pieces {
        pieces: Arc::clone(pieces),
        next: 0,
        skip: range.start,
        left: range.len(),
    })
}

/// Pieces one after the other, without a copy.
struct Pieces {
    pieces: Arc<[Bytes]>,
    next: usize,
    /// Bytes that come before what was asked for.
    skip: usize,
    /// Bytes that are still to come.
    left: usize,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        while self.left > 0 {
            let Some(piece) = self.pieces.get(self.next).cloned() else {
                break;
            };
            self.next += 1;
            if self.skip >= piece.len() {
                self.skip -= piece.len();
                continue;
            }
            let start = std::mem::take(&mut self.skip);
            let end = piece.len().min(start + self.left);
            self.left -= end - start;
            return Poll::Ready(Some(Ok(Frame::data(piece.slice(start..end)))));
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn pieces() -> Arc<[Bytes]> {
        ["abc", "", "defg", "h"].map(Bytes::from_static_str).into()
    }

    trait FromStr {
        fn from_static_str(text: &'static str) -> Bytes;
    }

    impl FromStr for Bytes {
        fn from_static_str(text: &'static str) -> Bytes {
            Bytes::from_static(text.as_bytes())
        }
    }

    #[tokio::test]
    async fn every_range_over_pieces_is_that_of_the_whole() {
        let whole = "abcdefgh";
        for start in 0..whole.len() {
            for end in start + 1..=whole.len() {
                let body = body(&pieces(), start..end);
                assert_eq!(
                    hyper::body::Body::size_hint(&body).exact(),
                    Some((end - start) as u64)
                );
                let bytes = body.collect().await.unwrap().to_bytes();
                assert_eq!(bytes, whole[start..end], "{start}..{end}");
            }
        }
    }
}
