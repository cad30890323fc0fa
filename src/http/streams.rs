//! `/streams`: what is live now, as JSON.

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::AppState;
use super::auth::presented;
use super::hls::HlsSource;
use super::problem::Problem;
use crate::egress::hls::store::Sound;
use crate::egress::hls::{Answered, Directives, File, Resource};
use crate::gateway::{Priority, PublisherState, PublisherStatus, Rank, StreamStatus};

/// The route of the list.
pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/streams", get(list))
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
}

#[derive(Serialize)]
struct Track {
    id: u8,
    kind: &'static str,
    codec: &'static str,
}

impl From<StreamStatus> for Stream {
    fn from(status: StreamStatus) -> Self {
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
    fn of(status: StreamStatus, hls: &dyn HlsSource) -> Self {
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
    let mine = |status: &StreamStatus| play.check(&status.name, &presented).is_ok();
    let mine = streams.into_iter().filter(mine);
    let streams: Vec<Stream> = mine.map(|status| Stream::of(status, &*state.hls)).collect();
    ([(header::CACHE_CONTROL, "no-store")], Json(streams)).into_response()
}
