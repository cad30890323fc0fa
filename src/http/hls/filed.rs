//! A segment that is only in a file, whole or one range of it.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use hyper::body::{Frame, SizeHint};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncSeekExt, ReadBuf};

use crate::egress::hls::store::Filed;
use crate::http::problem::Problem;
use crate::http::range::{Wanted, wanted};

/// The answer with all of the file, or with what `range` asks for. One that has just been removed is not
/// there; one that is removed later is sent to its end.
pub(super) async fn answer(
    segment: &Filed,
    cache_control: HeaderValue,
    range: Option<&str>,
) -> Result<Response, Problem> {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static(segment.content_type),
        ),
        (header::CACHE_CONTROL, cache_control),
        (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
    ];
    let size = segment.bytes;
    let part = match range.map_or(Wanted::Whole, |range| wanted(range, size)) {
        Wanted::Whole => {
            let body = body(&segment.path, 0, size).await?;
            return Ok((headers, body).into_response());
        }
        Wanted::Nothing => return Err(Problem::Range { size }),
        Wanted::Part(part) => part,
    };
    let content_range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
    let body = body(&segment.path, part.start, part.len()).await?;
    let about = [(header::CONTENT_RANGE, content_range)];
    Ok((StatusCode::PARTIAL_CONTENT, headers, about, body).into_response())
}

async fn body(path: &Path, start: usize, length: usize) -> Result<Body, Problem> {
    let open = async {
        let mut file = File::open(path).await?;
        file.set_max_buf_size(PIECE);
        file.seek(io::SeekFrom::Start(start as u64)).await?;
        io::Result::Ok(file)
    };
    let file = open.await.map_err(|error| {
        tracing::debug!(%error, path = %path.display(), "a segment can't be read");
        Problem::HlsNotFound
    })?;
    Ok(Body::new(Pieces { file, left: length }))
}

/// The file, a piece at a time: a player that reads slowly holds one piece in memory.
struct Pieces {
    file: File,
    /// Bytes that are still to come.
    left: usize,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let mut piece = BytesMut::zeroed(self.left.min(PIECE));
        let mut buffer = ReadBuf::new(&mut piece);
        let read = ready!(Pin::new(&mut self.file).poll_read(context, &mut buffer));
        let length = buffer.filled().len();
        Poll::Ready(Some(match read {
            Ok(()) if length == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(()) => {
                self.left -= length;
                piece.truncate(length);
                Ok(Frame::data(piece.freeze()))
            }
            Err(error) => Err(error),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    /// A file of the digits of its offsets, larger than two pieces.
    fn filed(name: &str) -> (Filed, Vec<u8>) {
        let bytes: Vec<u8> = (0..2 * PIECE + 1000).map(|at| (at % 251) as u8).collect();
        let name = format!("tidegate-filed-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, &bytes).unwrap();
        let segment = Filed {
            content_type: "video/mp4",
            path,
            bytes: bytes.len(),
        };
        (segment, bytes)
    }

    async fn get(segment: &Filed, range: Option<&str>) -> (Response<()>, Vec<u8>) {
        let response = answer(segment, HeaderValue::from_static("public"), range)
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        (Response::from_parts(parts, ()), bytes)
    }

    #[tokio::test]
    async fn a_file_is_sent_whole_or_in_ranges() {
        let (segment, bytes) = filed("ranges");
        let (whole, body) = get(&segment, None).await;
        assert_eq!((whole.status(), body == bytes), (StatusCode::OK, true));
        for range in [0..1, 5..PIECE + 7, PIECE..2 * PIECE, 3..bytes.len()] {
            let text = format!("bytes={}-{}", range.start, range.end - 1);
            let (part, body) = get(&segment, Some(&text)).await;
            assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
            let told = format!("bytes {}-{}/{}", range.start, range.end - 1, segment.bytes);
            let header = part.headers().get(header::CONTENT_RANGE);
            assert_eq!(header, Some(&HeaderValue::from_str(&told).unwrap()));
            assert!(body == bytes[range], "{text}");
        }
        let past = answer(
            &segment,
            HeaderValue::from_static(""),
            Some("bytes=999999999-"),
        )
        .await;
        assert!(matches!(past, Err(Problem::Range { .. })));
        std::fs::remove_file(&segment.path).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_has_gone_is_not_found_and_a_short_one_ends_the_connection() {
        let (mut segment, bytes) = filed("gone");
        segment.bytes = bytes.len() + 1;
        let response = answer(&segment, HeaderValue::from_static(""), None)
            .await
            .unwrap();
        assert!(response.into_body().collect().await.is_err());
        let open = answer(&segment, HeaderValue::from_static(""), Some("bytes=1-4")).await;
        std::fs::remove_file(&segment.path).unwrap();
        let rest = open.unwrap().into_body().collect().await.unwrap();
        assert_eq!(rest.to_bytes(), bytes[1..5]);
        let gone = answer(&segment, HeaderValue::from_static(""), None).await;
        assert!(matches!(gone, Err(Problem::HlsNotFound)));
    }
}
