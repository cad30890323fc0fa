//! `/hls/{stream}/{file}`: playlists and segments (RFC 8216, draft-pantos-hls-rfc8216bis) out of the memory
//! of the packager. A request for what is about to come waits for it. `/dash/{stream}/{file}` is the same
//! by MPEG-DASH.

mod body;
mod cache;
mod dash;
mod directives;
mod filed;
mod grant;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Mutex;

use super::auth::Presented;
use super::holdings::{Held, Holdings};
use super::problem::Problem;
use super::{AppState, ConnectionLimits, client, etag, path};
use crate::egress::hls::store::{Figures, FilingFigures, Media, MediaFile, Rendered};
use crate::egress::hls::{Answered, Directives, File, Library, Resource};
use crate::gateway::{Client, SessionKind};
use crate::stream::StreamName;

use cache::{Caching, Kind};
use grant::Grant;

/// Where playlists and segments come from.
pub trait HlsSource: Send + Sync {
    /// The file of `stream`, now or later; none when nobody publishes it.
    fn ask(&self, stream: &StreamName, file: File, directives: Directives) -> Option<HlsAnswer>;

    /// What there is of all streams in files; none where nothing is to be.
    fn filing(&self) -> Option<FilingFigures>;

    /// What making the stream costs; none of one that is not made or has not said it yet.
    fn figures(&self, stream: &StreamName) -> Option<Figures>;
}

/// What a source has.
#[derive(Debug)]
pub struct HlsAnswer {
    /// The file, or a wait for it.
    pub answered: Answered,
    /// No segment is longer, in seconds.
    pub target_duration: u64,
    /// How long a request may wait.
    pub patience: Duration,
}

impl HlsSource for Library {
    fn ask(&self, stream: &StreamName, file: File, directives: Directives) -> Option<HlsAnswer> {
        let presentation = self.get(stream)?;
        Some(HlsAnswer {
            target_duration: presentation.target_duration().unwrap_or(2),
            patience: presentation.patience(),
            answered: presentation.ask(file, directives, Instant::now()),
        })
    }

    fn filing(&self) -> Option<FilingFigures> {
        self.keeps_past().then(|| self.filing_counters().figures())
    }

    fn figures(&self, stream: &StreamName) -> Option<Figures> {
        self.get(stream)?.figures()
    }
}

/// The routes of HLS and DASH.
pub(super) fn routes() -> Router<AppState> {
    let shared = Arc::<Shared>::default();
    let answer = |way| {
        let shared = Arc::clone(&shared);
        move |state, request| file(state, request, way, Arc::clone(&shared))
    };
    let (hls, dash) = (answer(Way::Hls), answer(Way::Dash));
    Router::new()
        .route("/hls/{stream}/{*file}", get(hls))
        .route("/dash/{stream}/{*file}", get(dash))
}

/// What is the same for all requests.
#[derive(Debug, Default)]
struct Shared {
    /// Those that wait for what comes next.
    waiting: Holdings,
    /// Held while a long playlist is compressed.
    compressing: Arc<Mutex<()>>,
    /// Those who read the past.
    readers: filed::Readers,
}

impl Shared {
    /// Whether the playlist is to be sent compressed. One of hours is compressed before, for the first who takes it so,
    /// where that holds up nobody else. If that takes long, it is sent as it is.
    async fn compress(&self, rendered: &Arc<Rendered>, request: &Parts) -> bool {
        if !cache::takes_gzip(&request.headers) {
            return false;
        }
        if rendered.text.len() < LONG || rendered.is_compressed() {
            return true;
        }
        let compressed = async {
            // The others wait, but not on a thread.
            let compressing = Arc::clone(&self.compressing).lock_owned().await;
            if !rendered.is_compressed() {
                let rendered = Arc::clone(rendered);
                // Who no longer waits for it leaves no room for a second one.
                let work = move || {
                    rendered.gzip();
                    drop(compressing);
                };
                let _ = tokio::task::spawn_blocking(work).await;
            }
        };
        let _ = tokio::time::timeout(COMPRESSING, compressed).await;
        rendered.is_compressed()
    }
}

/// By what a stream is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Hls,
    Dash,
}

async fn file(
    State(state): State<AppState>,
    request: Request,
    way: Way,
    shared: Arc<Shared>,
) -> Response {
    let (mut parts, _) = request.into_parts();
    match try_file(&state, &mut parts, way, &shared).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn try_file(
    state: &AppState,
    request: &mut Parts,
    way: Way,
    shared: &Shared,
) -> Result<Response, Problem> {
    let seat = |request: &Parts| {
        let connections = state.settings.connections;
        take_seat(&shared.waiting, connections, client::of(request))
    };
    let (stream, path) = path::stream_and_rest(request).await?;
    let (grant, file) = grant::split(&path);
    if (way, file) == (Way::Dash, dash::TIME) {
        return Ok(dash::time(SystemTime::now()));
    }
    let shown = authorize(state, grant.as_ref(), &stream, request)?;
    let caching = Caching {
        // A signature in the URL is checked by whoever keeps it for others.
        public: !state.tokens.play.ask(&stream) || shown == Shown::Signature,
    };
    let (file, directives) = match way {
        Way::Hls => {
            let directives = directives::of(&request.uri).map_err(Problem::HlsDirectives)?;
            (File::of_path(file), directives)
        }
        Way::Dash => (File::of_dash_path(file), Directives::default()),
    };
    let file = file.ok_or(Problem::HlsNotFound)?;
    let answer = state.hls.ask(&stream, file, directives);
    let answer = answer.ok_or_else(|| Problem::HlsOffline(stream.clone()))?;
    let resource = match answer.answered {
        Answered::Now(resource) => resource,
        Answered::Later(coming) => {
            let _seat = seat(request)?;
            tokio::time::timeout(answer.patience, coming)
                .await
                .map_err(|_| Problem::HlsTooLate(answer.patience))?
        }
    };
    match resource {
        Resource::Playlist(rendered) => {
            // Without a part the answer may be of a segment that is still open, and who wants the whole of
            // it asks for the same URL again.
            let kind = match directives.part {
                Some(_) => Kind::Blocking,
                None => Kind::Playlist,
            };
            let control = caching.control(kind, answer.target_duration);
            let content_type = match way {
                Way::Hls => PLAYLIST,
                Way::Dash => dash::MANIFEST,
            };
            let compress = shared.compress(&rendered, request).await;
            Ok(playlist(
                &rendered,
                content_type,
                control,
                compress,
                request,
            ))
        }
        Resource::Growing(segment) => {
            let control = caching.control(Kind::Segment, answer.target_duration);
            Ok(dash::growing(segment, seat(request)?, control))
        }
        Resource::Media(media) => self::media(&media, &caching, answer.target_duration, request),
        Resource::Filed(segment) => {
            let control = caching.control(Kind::Segment, answer.target_duration);
            filed::answer(&shared.readers, &segment, control, range(request)).await
        }
        Resource::NotYet => Err(Problem::HlsNotYet),
        Resource::Unavailable(reason) => Err(Problem::HlsUnavailable(reason)),
        Resource::NotFound => Err(Problem::HlsNotFound),
        Resource::TooFarAhead => Err(Problem::HlsTooFarAhead),
        Resource::Busy => Err(Problem::HlsBusy),
    }
}

/// Counts a request that waits for what comes next. Over HTTP/1.1 each has a connection of its own, so of one address
/// no more wait than it may have connections; over HTTP/2 neither.
fn take_seat(
    waiting: &Holdings,
    connections: ConnectionLimits,
    client: Client,
) -> Result<Held, Problem> {
    let limits = ConnectionLimits {
        in_all: usize::MAX,
        ..connections
    };
    let counted = (!client.is_here).then_some(client.address);
    let seat = waiting.take(counted, limits);
    seat.map_err(|_| Problem::HlsBusyAddress)
}

/// What showed the right to play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// A signature in the path, which is good.
    Signature,
    /// A token, or nothing where none is asked for.
    Token,
}

/// How the path or the request shows the right to play `stream`.
fn authorize(
    state: &AppState,
    grant: Option<&Grant<'_>>,
    stream: &StreamName,
    request: &Parts,
) -> Result<Shown, Problem> {
    let settings = &state.settings;
    match (grant, &settings.hls_secret) {
        (Some(Grant::Signed { expires, signature }), Some(secret)) => {
            match grant::is_good(secret, stream, expires, signature, SystemTime::now()) {
                true => Ok(Shown::Signature),
                false => Err(Problem::HlsSignature),
            }
        }
        (Some(Grant::Token(token)), _) if settings.allow_query_token => {
            let presented = Presented::from_text(token);
            let checked = state.tokens.play.check(stream, &presented);
            checked.map_err(Problem::Denied).map(|()| Shown::Token)
        }
        _ => state
            .authorize(SessionKind::Whep, stream, request)
            .map(|_| Shown::Token),
    }
}

/// A playlist, or nothing for who has it.
fn playlist(
    rendered: &Rendered,
    content_type: &'static str,
    control: HeaderValue,
    compress: bool,
    request: &Parts,
) -> Response {
    let tag = format!("\"{}{}\"", rendered.tag, if compress { "-gz" } else { "" });
    let known = etag::is_known(&request.headers, &tag);
    let mut response = match (known, compress) {
        (true, _) => StatusCode::NOT_MODIFIED.into_response(),
        (false, false) => rendered.text.clone().into_response(),
        (false, true) => rendered.gzip().into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, control);
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if compress && !known {
        let encoding = HeaderValue::from_static("gzip");
        headers.insert(header::CONTENT_ENCODING, encoding);
    }
    response
}

fn media(
    media: &Media,
    caching: &Caching,
    target_duration: u64,
    request: &Parts,
) -> Result<Response, Problem> {
    let kind = match media.kind {
        MediaFile::Init | MediaFile::Segment => Kind::Segment,
        MediaFile::Part => Kind::Part,
    };
    let mut response = body::answer(&media.body, range(request))?;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(media.content_type),
    );
    headers.insert(
        header::CACHE_CONTROL,
        caching.control(kind, target_duration),
    );
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    Ok(response)
}

fn range(request: &Parts) -> Option<&str> {
    request.headers.get(header::RANGE)?.to_str().ok()
}

/// A playlist of more bytes takes a millisecond and more to compress.
const LONG: usize = 64 << 10;

/// So long a request waits for that. It takes a fraction of it, unless all threads that may wait are waiting for something.
const COMPRESSING: Duration = Duration::from_secs(1);

/// RFC 8216, section 4.
const PLAYLIST: &str = "application/vnd.apple.mpegurl";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_requests_of_one_address_wait_than_it_may_have_connections() {
        let (waiting, limits) = (
            Holdings::default(),
            ConnectionLimits {
                in_all: 1,
                of_address: 2,
            },
        );
        let take = |address: &str| {
            let client = Client {
                address: address.parse().unwrap(),
                is_here: false,
            };
            take_seat(&waiting, limits, client)
        };
        let seats = [(); 2].map(|()| take("192.0.2.1").unwrap());
        let refused = take("192.0.2.1").unwrap_err().into_response();
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.headers()[header::RETRY_AFTER], "1");
        take("192.0.2.2").unwrap();
        drop(seats);
        take("192.0.2.1").unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_long_for_a_compressed_playlist_gets_it_as_it_is() {
        let (shared, text) = (Shared::default(), "#EXTM3U\n");
        let short = Arc::new(Rendered::new(text.into(), "short".into()));
        let long = Arc::new(Rendered::new(text.repeat(LONG), "long".into()));
        let (mut request, ()) = axum::http::Request::new(()).into_parts();
        assert!(!shared.compress(&short, &request).await);
        let gzip = HeaderValue::from_static("gzip");
        request.headers.insert(header::ACCEPT_ENCODING, gzip);
        assert!(shared.compress(&short, &request).await);
        // Another one takes long.
        let compressing = Arc::clone(&shared.compressing).lock_owned().await;
        assert!(!shared.compress(&long, &request).await);
        assert!(!long.is_compressed());
        drop(compressing);
        assert!(shared.compress(&long, &request).await);
    }
}
