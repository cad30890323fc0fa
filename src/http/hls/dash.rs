//! What MPEG-DASH has that HLS has not: segments that are sent while they grow, and the time of the server.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use hyper::body::Frame;

use crate::egress::hls::store::{Gone, Growing};
use crate::http::holdings::Held;

/// A segment of which more comes: each part is a piece of the body, which ends with the segment. A range of
/// it is not known yet, so all of it is sent.
pub(super) fn growing(segment: Growing, seat: Held, cache_control: HeaderValue) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static(segment.content_type()),
        ),
        (header::CACHE_CONTROL, cache_control),
    ];
    let parts = Parts {
        segment,
        _seat: seat,
    };
    (headers, Body::new(parts)).into_response()
}

/// The time for players whose clock is wrong (ISO/IEC 23009-1, section 5.8.4.11). It is no secret.
pub(super) fn time(now: SystemTime) -> Response {
    let now = DateTime::<Utc>::from(now).to_rfc3339_opts(SecondsFormat::Millis, true);
    let headers = [
        (header::CONTENT_TYPE, "text/plain"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, now).into_response()
}

struct Parts {
    segment: Growing,
    _seat: Held,
}

impl hyper::body::Body for Parts {
    type Data = Bytes;
    type Error = Gone;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Gone>>> {
        self.segment
            .poll_part(context)
            .map(|part| part.map(|part| part.map(Frame::data)))
    }
}

/// The name of the time beside a manifest.
pub(super) const TIME: &str = "time";
/// RFC 6381 and ISO/IEC 23009-1, annex C.
pub(super) const MANIFEST: &str = "application/dash+xml";
