//! A segment that is only in a file, whole or one range of it.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read as _, Seek as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::egress::hls::store::Filed;
use crate::http::problem::Problem;
use crate::http::range::{Wanted, wanted};

/// Threads that read at once. They are of the runtime's pool, in which others need some too: a disk that hangs keeps each
/// thread that reads from it.
const READERS: usize = 64;

/// So long one read may take, with the wait for a thread. A disk that works takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// Those who read segments from disk.
#[derive(Clone, Debug)]
pub(super) struct Readers {
    threads: Arc<Semaphore>,
    patience: Duration,
}

impl Default for Readers {
    fn default() -> Self {
        Self::new(READERS, PATIENCE)
    }
}

impl Readers {
    fn new(threads: usize, patience: Duration) -> Self {
        Self {
            threads: Arc::new(Semaphore::new(threads)),
            patience,
        }
    }

    /// Does `work` on a thread that may wait. What is not done in time fails, but keeps its thread until it is done.
    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let Self { threads, patience } = self;
        let done = async {
            let thread = threads.acquire_owned().await;
            let thread = thread.map_err(io::Error::other)?;
            let work = move || {
                let _thread = thread;
                work()
            };
            tokio::task::spawn_blocking(work).await?
        };
        let done = timeout(patience, done).await;
        done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// The answer with all of the file, or with what `range` asks for. One that has just been removed is not
/// there; one that is removed later is sent to its end.
pub(super) async fn answer(
    readers: &Readers,
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
            let body = body(readers, segment, 0, size).await?;
            return Ok((headers, body).into_response());
        }
        Wanted::Nothing => return Err(Problem::Range { size }),
        Wanted::Part(part) => part,
    };
    let content_range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
    let body = body(readers, segment, part.start, part.len()).await?;
    let about = [(header::CONTENT_RANGE, content_range)];
    Ok((StatusCode::PARTIAL_CONTENT, headers, about, body).into_response())
}

/// The first piece is read before the answer begins, so that a disk that hangs can still be told of.
async fn body(
    readers: &Readers,
    segment: &Filed,
    start: usize,
    length: usize,
) -> Result<Body, Problem> {
    let path = segment.path.clone();
    let open = move || {
        let mut file = File::open(path)?;
        file.seek(io::SeekFrom::Start(start as u64))?;
        read(file, length)
    };
    let reading = readers.clone().run(open);
    let (file, first) = reading.await.map_err(|error| {
        tracing::debug!(%error, path = %segment.path.display(), "a segment can't be read");
        match error.kind() {
            io::ErrorKind::TimedOut => Problem::HlsDiskSlow(readers.patience),
            _ => Problem::HlsNotFound,
        }
    })?;
    Ok(Body::new(Pieces {
        readers: readers.clone(),
        left: length,
        next: Next::Here(file, first),
    }))
}

/// The file and the next piece, of `left` bytes that are to come.
fn read(mut file: File, left: usize) -> io::Result<Read> {
    let mut piece = vec![0; left.min(PIECE)];
    file.read_exact(&mut piece)?;
    Ok((file, piece.into()))
}

type Read = (File, Bytes);
type Reading = Pin<Box<dyn Future<Output = io::Result<Read>> + Send>>;

/// The file, a piece at a time: a player that reads slowly holds one piece in memory.
struct Pieces {
    readers: Readers,
    /// Bytes that are still to come.
    left: usize,
    next: Next,
}

enum Next {
    Here(File, Bytes),
    Later(File),
    Reading(Reading),
    /// It could not be read.
    Failed,
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
        loop {
            match std::mem::replace(&mut self.next, Next::Failed) {
                Next::Here(file, piece) => {
                    self.left -= piece.len();
                    self.next = Next::Later(file);
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
                Next::Later(file) => {
                    let left = self.left;
                    let reading = self.readers.clone().run(move || read(file, left));
                    self.next = Next::Reading(Box::pin(reading));
                }
                Next::Reading(mut reading) => {
                    let read = reading.as_mut().poll(context);
                    match read {
                        Poll::Pending => {
                            self.next = Next::Reading(reading);
                            return Poll::Pending;
                        }
                        Poll::Ready(Ok((file, piece))) => self.next = Next::Here(file, piece),
                        Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                    }
                }
                Next::Failed => return Poll::Ready(None),
            }
        }
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

    async fn ask(
        readers: &Readers,
        segment: &Filed,
        range: Option<&str>,
    ) -> Result<Response, Problem> {
        let control = HeaderValue::from_static("public");
        answer(readers, segment, control, range).await
    }

    async fn get(segment: &Filed, range: Option<&str>) -> (Response<()>, Vec<u8>) {
        let response = ask(&Readers::default(), segment, range).await.unwrap();
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
        let past = ask(&Readers::default(), &segment, Some("bytes=999999999-")).await;
        assert!(matches!(past, Err(Problem::Range { .. })));
        std::fs::remove_file(&segment.path).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_has_gone_is_not_found_and_a_short_one_ends_the_connection() {
        let (mut segment, bytes) = filed("gone");
        let readers = Readers::default();
        segment.bytes = bytes.len() + 1;
        let response = ask(&readers, &segment, None).await.unwrap();
        assert!(response.into_body().collect().await.is_err());
        let open = ask(&readers, &segment, Some("bytes=1-4")).await;
        std::fs::remove_file(&segment.path).unwrap();
        let rest = open.unwrap().into_body().collect().await.unwrap();
        assert_eq!(rest.to_bytes(), bytes[1..5]);
        let gone = ask(&readers, &segment, None).await;
        assert!(matches!(gone, Err(Problem::HlsNotFound)));
    }

    /// A read that hangs, as that of a disk may, until what it returns is dropped.
    async fn hang(readers: &Readers) -> std::sync::mpsc::Sender<()> {
        let (go_on, hanging) = std::sync::mpsc::channel::<()>();
        let read = readers.clone().run(move || {
            let _ = hanging.recv();
            Ok(())
        });
        let failed = read.await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
        go_on
    }

    #[tokio::test]
    async fn a_disk_that_hangs_keeps_its_threads_and_others_are_told_to_come_back() {
        let (segment, bytes) = filed("hang");
        let readers = Readers::new(2, Duration::from_secs(1));
        let impatient = Readers {
            patience: Duration::from_millis(20),
            ..readers.clone()
        };
        let first = hang(&impatient).await;
        assert!(ask(&readers, &segment, None).await.is_ok(), "one is free");
        let mut begun = ask(&readers, &segment, None).await.unwrap().into_body();
        let second = hang(&impatient).await;
        let busy = ask(&impatient, &segment, None).await.unwrap_err();
        let busy = busy.into_response();
        assert_eq!(busy.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(busy.headers().contains_key(header::RETRY_AFTER));
        // What was read before is sent, and what can't be read ends the answer.
        assert!(begun.frame().await.is_some_and(|piece| piece.is_ok()));
        assert!(begun.frame().await.is_some_and(|piece| piece.is_err()));
        drop((first, second));
        // Reads that come to an end free their threads.
        drop(readers.threads.acquire_many(2).await.unwrap());
        let again = ask(&readers, &segment, None).await.unwrap();
        let again = again.into_body().collect().await.unwrap();
        assert!(again.to_bytes() == bytes);
        std::fs::remove_file(&segment.path).unwrap();
    }
}
