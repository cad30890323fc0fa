//! `/streams`: what is live now, as JSON, and `/streams/{stream}`: all that is known of one.

mod detail;

use axum::extract::{Request, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::AppState;
use super::auth::presented;
use super::hls::HlsSource;
use super::path;
use super::problem::Problem;
use crate::egress::hls::store::Sound;
use crate::egress::hls::{Answered, Directives, File, Resource};
use crate::gateway::{Priority, PublisherState, PublisherStatus, Rank, SessionKind, StreamStatus};
use detail::Detail;

/// The route of the list.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/streams", get(list))
        .route("/streams/{stream}", get(one))
}

#[derive(Serialize)]
struct Stream {
    name: String,
    tracks: Vec<Track>,
    subscribers: usize,
    publishers: Vec<Publisher>,
    /// Why the stream is not in HLS, where that will not change.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_hls: Option<String>,
}

/// One of the publishers; without a priority it is the slate.
#[derive(Serialize)]
struct Publisher {
    priority: Option<u8>,
    state: &'static str,
    on_air: bool,
    /// The names of what is wrong with it; `/streams/{stream}` has the words.
    findings: Vec<&'static str>,
}

#[derive(Serialize)]
struct Track {
    id: u8,
    kind: &'static str,
    codec: &'static str,
}

impl From<&StreamStatus> for Stream {
    fn from(status: &StreamStatus) -> Self {
        let tracks = status.tracks.iter().map(|track| Track {
            id: track.id.0,
            kind: track.kind().as_str(),
            codec: track.codec.name(),
        });
        Self {
            name: status.name.to_string(),
            tracks: tracks.collect(),
            subscribers: status.subscribers,
            publishers: status.publishers.iter().map(Publisher::from).collect(),
            no_hls: None,
        }
    }
}

impl Stream {
    fn of(status: &StreamStatus, hls: &dyn HlsSource) -> Self {
        let answer = hls.ask(&status.name, File::Index(Sound::All), Directives::default());
        let no_hls = match answer.map(|answer| answer.answered) {
            Some(Answered::Now(Resource::Unavailable(reason))) => Some(reason),
            _ => None,
        };
        Self {
            no_hls,
            ..status.into()
        }
    }
}

impl From<&PublisherStatus> for Publisher {
    fn from(status: &PublisherStatus) -> Self {
        Self {
            priority: match status.rank {
                Rank::Publisher(Priority(priority)) => Some(priority),
                Rank::Slate => None,
            },
            state: match status.state {
                PublisherState::Connecting => "connecting",
                PublisherState::Flowing { .. } => "flowing",
                PublisherState::Stalled => "stalled",
            },
            on_air: status.on_air,
            findings: status.report.as_ref().map_or_else(Vec::new, |report| {
                let defects = report.findings.iter().map(|finding| finding.defect.name());
                defects.collect()
            }),
        }
    }
}

/// The streams that the request's token opens; an unknown token opens the door to none.
async fn list(State(state): State<AppState>, request: Request) -> Response {
    let play = &state.tokens.play;
    let (request, _) = request.into_parts();
    let presented = presented(&request, state.settings.allow_query_token);
    if let Err(denied) = play.check_any(&presented) {
        return Problem::Denied(denied).into_response();
    }
    let streams = state.gateway.streams().await;
    let mine = |status: &&StreamStatus| play.check(&status.name, &presented).is_ok();
    let mine = streams.iter().filter(mine);
    let streams: Vec<Stream> = mine.map(|status| Stream::of(status, &*state.hls)).collect();
    ([(header::CACHE_CONTROL, "no-store")], Json(streams)).into_response()
}

async fn one(State(state): State<AppState>, request: Request) -> Response {
    let (mut request, _) = request.into_parts();
    match try_one(&state, &mut request).await {
        Ok(detail) => ([(header::CACHE_CONTROL, "no-store")], Json(detail)).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// Who may play the stream may see it, and who may publish it, whom the findings concern.
async fn try_one(state: &AppState, request: &mut Parts) -> Result<Detail, Problem> {
    let name = path::stream(request).await?;
    if let Err(denied) = state.authorize(SessionKind::Whep, &name, request) {
        let may_publish = state.authorize(SessionKind::Whip, &name, request);
        may_publish.map_err(|_| denied)?;
    }
    let streams = state.gateway.streams().await;
    let status = streams.iter().find(|status| status.name == name);
    let status = status.ok_or(Problem::Offline(name))?;
    let hls = state.hls.figures(&status.name);
    Ok(Detail::new(Stream::of(status, &*state.hls), status, hls))
}
