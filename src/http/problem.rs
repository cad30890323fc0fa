//! The one place where errors become HTTP answers: problem details (RFC 9457).
//!
//! The type is always `about:blank`, so the title is the phrase of the status; what went wrong, and
//! what to do about it, stands in the detail.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::auth::Denied;
use super::rate::TooMany;
use super::thumbnail::ThumbnailError;
use crate::gateway::{CreateError, SessionError};
use crate::sdp;
use crate::stream::{StreamName, StreamNameError};

/// The setting that a refused publisher of another machine is told of.
const PUBLISH_TOKEN: &str = "auth.publish_token";

pub(super) const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
pub(super) const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
pub(super) const SDP: &str = "application/sdp";
pub(super) const PROBLEM: &str = "application/problem+json";
pub(super) const JSON: &str = "application/json";
pub(super) const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// Everything that a request may be refused for.
#[derive(Debug)]
pub(super) enum Problem {
    NoHost,
    HttpsOnly,
    NoRoute,
    MethodNotAllowed,
    Path,
    Name(StreamNameError),
    /// A priority that is none.
    Priority,
    NotASession,
    Denied(Denied),
    /// The client asks more often than it may.
    TooMany(TooMany),
    /// The body is of another type than this one, which the named header announces.
    ContentType {
        accepted: &'static str,
        header: HeaderName,
    },
    BodyTooLarge {
        limit: usize,
    },
    BodyTooSlow(Duration),
    BodyBroken,
    PreconditionMissing,
    PreconditionMalformed,
    /// Only weak tags, which never match.
    PreconditionWeak,
    Offer(sdp::OfferError),
    Fragment(sdp::FragmentError),
    /// JSON that does not do, and why.
    Json(String),
    TooManyEventStreams(usize),
    Create(CreateError),
    Session(SessionError),
    /// Nobody publishes it.
    Offline(StreamName),
    HlsOffline(StreamName),
    HlsNotYet,
    HlsUnavailable(String),
    HlsNotFound,
    /// The directives of a playlist request, and why they don't do.
    HlsDirectives(&'static str),
    HlsTooFarAhead,
    HlsSignature,
    /// What the request waited for did not come within this time.
    HlsTooLate(Duration),
    HlsBusy,
    HlsBusyAddress,
    /// A segment could not be read from disk within this time.
    HlsDiskSlow(Duration),
    /// The range lies beyond the end of a body of so many bytes.
    Range {
        size: usize,
    },
    NoAsset,
    Thumbnail(ThumbnailError),
}

/// The members of RFC 9457, section 3.1.
#[derive(Serialize)]
struct Details {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let details = Details {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: self.detail(),
        };
        let mut response = (status, Json(details)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, text(PROBLEM));
        headers.insert(header::CACHE_CONTROL, text("no-store"));
        headers.extend(self.header());
        response
    }
}

impl Problem {
    fn status(&self) -> StatusCode {
        match self {
            Self::Thumbnail(error) => error.status(),
            Self::NoHost
            | Self::Path
            | Self::Name(_)
            | Self::Priority
            | Self::BodyBroken
            | Self::PreconditionMalformed
            | Self::Offer(_)
            | Self::Fragment(_)
            | Self::Json(_)
            | Self::HlsDirectives(_)
            | Self::HlsTooFarAhead
            | Self::Session(SessionError::NoLayer | SessionError::Layer(_))
            | Self::Session(SessionError::Fragment(_)) => StatusCode::BAD_REQUEST,
            Self::Denied(Denied::Missing | Denied::Unknown) => StatusCode::UNAUTHORIZED,
            Self::HttpsOnly
            | Self::HlsSignature
            | Self::Denied(
                Denied::OtherStream
                | Denied::NotLocal
                | Denied::MetricsNotLocal
                | Denied::OtherSite
                | Denied::OtherName,
            ) => StatusCode::FORBIDDEN,
            Self::NoRoute
            | Self::NotASession
            | Self::Session(SessionError::NotFound)
            | Self::Offline(_)
            | Self::HlsOffline(_)
            | Self::HlsUnavailable(_)
            | Self::HlsNotFound
            | Self::NoAsset => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Create(CreateError::Offline { .. } | CreateError::AlreadyPublished(_))
            | Self::Session(SessionError::NotWaiting) => StatusCode::CONFLICT,
            Self::PreconditionWeak | Self::Session(SessionError::Stale) => {
                StatusCode::PRECONDITION_FAILED
            }
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ContentType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Range { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Create(CreateError::Refused(_)) | Self::Session(SessionError::Refused(_)) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::Create(CreateError::TooManyFromAddress { .. }) => StatusCode::TOO_MANY_REQUESTS,
            Self::PreconditionMissing => StatusCode::PRECONDITION_REQUIRED,
            Self::TooMany(_) | Self::TooManyEventStreams(_) | Self::HlsBusyAddress => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Create(CreateError::Full { .. } | CreateError::ShuttingDown)
            | Self::Session(SessionError::ShuttingDown)
            | Self::HlsNotYet
            | Self::HlsTooLate(_)
            | Self::HlsBusy
            | Self::HlsDiskSlow(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::NoHost => "the request has no usable Host header, which HTTP/1.1 asks for".into(),
            Self::HttpsOnly => "this server takes requests over HTTPS only; \
                use the same URL with https://"
                .into(),
            Self::NoRoute => "there is nothing at this URL; \
                publish at /whip/{stream}, play at /whep/{stream} or /hls/{stream}/index.m3u8"
                .into(),
            Self::MethodNotAllowed => {
                "this URL does not take this method; the Allow header lists those it takes".into()
            }
            Self::Path => "the path of the URL is not UTF-8 text when decoded".into(),
            Self::Name(error) => error.to_string(),
            Self::Priority => "the priority in the URL is no number from 0 to 255; \
                write ?priority=100 (the default), or ?backup for 50"
                .into(),
            Self::NotASession => SessionError::NotFound.to_string(),
            Self::Denied(denied) => denied_detail(*denied),
            Self::TooMany(TooMany {
                setting,
                per_second,
                ..
            }) => format!(
                "too many requests; this server takes {per_second} a second (`{setting}`): \
                 wait as long as Retry-After says"
            ),
            Self::ContentType { accepted, .. } => {
                format!(
                    "the body must have the Content-Type {}",
                    accepted.replace(", ", " or ")
                )
            }
            Self::BodyTooLarge { limit } => {
                format!("the body is larger than {limit} bytes; offer fewer codecs or candidates")
            }
            Self::BodyTooSlow(time) => {
                format!(
                    "the body did not arrive within {} s; send it at once",
                    time.as_secs()
                )
            }
            Self::BodyBroken => "the body broke off before its end".into(),
            Self::PreconditionMissing => "If-Match is missing; send the ETag of the session, \
                or \"*\" to restart ICE"
                .into(),
            Self::PreconditionMalformed => {
                "If-Match can't be read; it must be the ETag as it was sent, or *".into()
            }
            Self::PreconditionWeak => {
                "a weak tag never matches; send the ETag as it was sent, without W/".into()
            }
            Self::Offer(error) => error.to_string(),
            Self::Fragment(error) => error.to_string(),
            Self::Json(reason) => reason.clone(),
            Self::TooManyEventStreams(limit) => format!(
                "this session has {limit} event streams that are being read; \
                 end one of them with DELETE, or read one again"
            ),
            Self::Create(error) => error.to_string(),
            Self::Session(error) => error.to_string(),
            Self::Offline(stream) | Self::HlsOffline(stream) => {
                format!("nobody publishes {stream} now; try again when the broadcast has begun")
            }
            Self::HlsNotYet => "the first segments are not ready; try again in a second".into(),
            Self::HlsUnavailable(reason) => reason.clone(),
            Self::HlsNotFound => "there is no such file in this stream's playlists now; \
                begin at index.m3u8, or manifest.mpd for DASH"
                .into(),
            Self::HlsDirectives(reason) => (*reason).to_owned(),
            Self::HlsTooFarAhead => "the segment or part lies too far in the future; \
                ask for one after the last of the playlist"
                .into(),
            Self::HlsSignature => {
                "the signed URL is not good for this stream, or its time is over; \
                ask for a new one where you got it"
                    .into()
            }
            Self::HlsTooLate(time) => format!(
                "what comes next did not come within {} s; the publisher may be away: ask again",
                time.as_secs()
            ),
            Self::HlsBusy => "too many requests wait for what comes next; ask again in a second, \
                or raise `hls.waiting_requests`"
                .into(),
            Self::HlsBusyAddress => "too many requests of this address wait for what comes next; \
                ask again in a second, or raise `limits.connections_per_address`"
                .into(),
            Self::HlsDiskSlow(time) => format!(
                "the segment could not be read from disk within {} s; ask again in some seconds, \
                 or go on at the end of the playlist",
                time.as_secs()
            ),
            Self::Range { size } => {
                format!("the range begins after the end of the file, which has {size} bytes")
            }
            Self::NoAsset => "there is no such file".into(),
            Self::Thumbnail(error) => error.to_string(),
        }
    }

    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let retry_after =
            |seconds: u64| Some((header::RETRY_AFTER, HeaderValue::from(seconds.max(1))));
        match self {
            Self::Denied(Denied::Missing) => challenge("Bearer realm=\"tidegate\""),
            Self::Denied(Denied::Unknown) => {
                challenge("Bearer realm=\"tidegate\", error=\"invalid_token\"")
            }
            Self::Denied(Denied::OtherStream) => {
                challenge("Bearer realm=\"tidegate\", error=\"insufficient_scope\"")
            }
            Self::ContentType { accepted, header } => Some((header.clone(), text(accepted))),
            Self::Range { size } => HeaderValue::from_str(&format!("bytes */{size}"))
                .ok()
                .map(|value| (header::CONTENT_RANGE, value)),
            Self::Create(CreateError::Offline {
                retry_after: at, ..
            }) => retry_after(at.as_secs()),
            Self::Offline(_) | Self::HlsOffline(_) => retry_after(2),
            Self::Thumbnail(error) => error.retry_after().and_then(retry_after),
            Self::HlsDiskSlow(time) => retry_after(time.as_secs()),
            Self::HlsNotYet
            | Self::HlsTooLate(_)
            | Self::HlsBusy
            | Self::HlsBusyAddress
            | Self::TooManyEventStreams(_) => retry_after(1),
            Self::Create(
                CreateError::Full { .. }
                | CreateError::TooManyFromAddress { .. }
                | CreateError::ShuttingDown,
            )
            | Self::Session(SessionError::ShuttingDown) => retry_after(10),
            // Whole seconds (RFC 9110, section 10.2.3), so that the wait is over then.
            Self::TooMany(too_many) => retry_after(too_many.wait.as_secs() + 1),
            _ => None,
        }
    }
}

fn denied_detail(denied: Denied) -> String {
    match denied {
        Denied::Missing => {
            "a token is needed here; send it as Authorization: Bearer <token>".into()
        }
        Denied::Unknown => "the token is not known to this server".into(),
        Denied::OtherStream => "the token is good for another stream, not for this one".into(),
        Denied::NotLocal => format!(
            "publishing is open to this machine only, as no token is configured; \
             set {PUBLISH_TOKEN} to let others publish"
        ),
        Denied::MetricsNotLocal => {
            "the metrics are open to this machine only, as no token is configured; \
            set auth.metrics_token to read them from elsewhere"
                .into()
        }
        Denied::OtherName => {
            "this is open to this machine only, as no token is configured, and pages of other sites may \
             lead their own names here; use localhost or an address of this machine in the URL, \
             or set auth.metrics_token"
                .into()
        }
        Denied::OtherSite => format!(
            "pages of other sites may not publish here, as no token is configured; \
             set {PUBLISH_TOKEN} and let the page send it"
        ),
    }
}

fn challenge(value: &'static str) -> Option<(HeaderName, HeaderValue)> {
    Some((header::WWW_AUTHENTICATE, text(value)))
}

fn text(value: &'static str) -> HeaderValue {
    HeaderValue::from_static(value)
}
