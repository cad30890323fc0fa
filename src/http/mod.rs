//! The HTTP side: WHIP and WHEP, HLS, the list of streams and the pages.
//!
//! The only user of axum. May depend on [`gateway`](crate::gateway), the parsers of
//! [`sdp`](crate::sdp), connections of [`front`](crate::front) and the types of
//! [`config`](crate::config); never sees a packet, and decides nothing about streams or sessions itself.
//! WHIP is RFC 9725, WHEP is draft-ietf-wish-whep-04; both share one code, as they differ in who
//! sends only.

mod auth;
mod body;
mod client;
mod connections;
mod cors;
mod counter_offer;
mod endpoint;
mod etag;
mod event_streams;
mod events;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod hls;
mod holdings;
mod ice_servers;
mod idle;
mod layer;
mod links;
mod metrics;
mod pages;
mod path;
mod plain;
mod precondition;
mod priority;
mod problem;
mod range;
mod rate;
mod serve;
mod session;
mod settings;
mod streams;
#[cfg(test)]
mod tests;
mod thumbnail;
mod unread;
mod write_deadline;

pub use auth::{Rules, Token, TokenError, Tokens};
pub use connections::ConnectionLimits;
pub use cors::{Origins, OriginsError};
pub use hls::{HlsAnswer, HlsSource};
pub use plain::PlainHttp;
pub use rate::Rate;
pub use serve::serve;
pub use settings::Settings;
pub use thumbnail::{Thumbnail, ThumbnailError, Thumbnails};

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Version, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};

use crate::gateway::{Gateway, SessionKind};
use crate::shard::Snapshot;
use crate::stream::StreamName;
use auth::Right;
use client::Proxies;
use event_streams::EventStreams;
use plain::CamePlain;
use problem::Problem;
use rate::Limiter;

/// What the routes work on.
#[derive(Clone)]
pub struct AppState {
    /// The control plane.
    pub gateway: Gateway,
    /// Where segments and playlists come from.
    pub hls: Arc<dyn HlsSource>,
    /// Where still pictures come from.
    pub thumbnails: Arc<dyn Thumbnails>,
    /// What the shards have counted, one by one.
    pub counters: Arc<dyn Fn() -> Vec<Snapshot> + Send + Sync>,
    /// Who may publish and play.
    pub tokens: Arc<Tokens>,
    /// The rest of what can be configured.
    pub settings: Arc<Settings>,
}

impl AppState {
    /// What right the request shows to publish or to play `stream`.
    fn authorize(
        &self,
        kind: SessionKind,
        stream: &StreamName,
        request: &Parts,
    ) -> Result<Right, Problem> {
        let allow_query = self.settings.allow_query_token;
        let checked = self.tokens.check(kind, stream, request, allow_query);
        checked.map_err(Problem::Denied)
    }
}

/// The routes of the server. In process: it binds nothing and starts nothing.
pub fn router(state: AppState) -> Router {
    let settings = &state.settings;
    let surroundings = Arc::new(Surroundings {
        origins: settings.origins.clone(),
        proxies: Proxies::new(settings.trusted_proxies.clone()),
    });
    let gate = Arc::new(Gate {
        limiter: Limiter::new(settings.address_rate, settings.token_rate),
        allow_query_token: settings.allow_query_token,
    });
    let sessions = Router::new()
        .nest("/whip", endpoint::routes(SessionKind::Whip))
        .nest("/whep", endpoint::routes(SessionKind::Whep))
        .layer(Extension(Arc::<EventStreams>::default()))
        .layer(middleware::from_fn_with_state(gate, limit_rate));
    Router::new()
        .merge(sessions)
        .merge(hls::routes())
        .merge(streams::routes())
        .merge(metrics::routes())
        .merge(thumbnail::routes())
        .merge(pages::routes())
        .route("/healthz", get(|| async { "ok\n" }))
        .method_not_allowed_fallback(body::method_not_allowed)
        .fallback(body::no_route)
        .layer(middleware::from_fn_with_state(surroundings, surround))
        .with_state(state)
}

struct Gate {
    limiter: Limiter,
    allow_query_token: bool,
}

/// Turns away clients that ask too often. Reading is free, and so are the questions of browsers.
async fn limit_rate(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let counts = match *request.method() {
        Method::POST | Method::PATCH | Method::DELETE => true,
        // It may make credentials for TURN.
        Method::OPTIONS => !cors::is_preflight(request.method(), request.headers()),
        _ => false,
    };
    if !counts {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let presented = auth::presented(&parts, gate.allow_query_token);
    match gate.limiter.check(client::of(&parts), &presented) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(too_many) => body::answer(Err(Problem::TooMany(too_many)), &parts.headers, body).await,
    }
}

struct Surroundings {
    origins: Origins,
    proxies: Proxies,
}

/// What happens around every route. One layer does all of it, as each layer copies, for each request, all
/// that it wraps.
async fn surround(
    State(surroundings): State<Arc<Surroundings>>,
    mut request: Request,
    next: Next,
) -> Response {
    let asked = Asked::of(&request);
    let cors = cors::Asked::of(&surroundings.origins, &request);
    client::identify(&surroundings.proxies, &mut request);
    let response = if let Some(refusal) = CamePlain::refusal(&request) {
        refusal
    } else if lacks_host(&request) {
        Problem::NoHost.into_response()
    } else {
        next.run(request).await
    };
    let response = cors.answer(response);
    asked.log(response.status());
    response
}

/// RFC 9112, section 3.2: a request of HTTP/1.1 without `Host` is answered with 400.
fn lacks_host(request: &Request) -> bool {
    request.version() == Version::HTTP_11 && !request.headers().contains_key(header::HOST)
}

/// A request, for the log.
struct Asked {
    start: Instant,
    method: Method,
    route: Option<MatchedPath>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        Self {
            start: Instant::now(),
            method: request.method().clone(),
            route: request.extensions().get::<MatchedPath>().cloned(),
        }
    }

    /// One line a request. The route's pattern stands for the URL, which may hold a session id.
    fn log(self, status: StatusCode) {
        let Self {
            start,
            method,
            route,
        } = self;
        let route = route.as_ref().map_or("none", MatchedPath::as_str);
        let took = Instant::now() - start;
        if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
            tracing::warn!(%method, route, status = status.as_u16(), ?took, "request failed");
        } else {
            tracing::debug!(%method, route, status = status.as_u16(), ?took, "request");
        }
    }
}
