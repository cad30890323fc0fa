//! The HTTP side: WHIP and WHEP, HLS, the list of streams and the pages.
//!
//! The only user of axum. May depend on [`gateway`](crate::gateway) and on the parsers of
//! [`sdp`]; never sees a packet, and decides nothing about streams or sessions itself.
//! WHIP is RFC 9725, WHEP is draft-ietf-wish-whep-04; both share one code, as they differ in who
//! sends only.

mod auth;
mod body;
mod cors;
mod endpoint;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod hls;
mod pages;
mod path;
mod precondition;
mod problem;
mod range;
mod serve;
mod session;
mod streams;
#[cfg(test)]
mod tests;
mod write_deadline;

pub use auth::{Rules, Token, TokenError, Tokens};
pub use cors::{Origins, OriginsError};
pub use hls::{HlsResource, HlsSource};
pub use serve::serve;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{StatusCode, Version, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::gateway::{Gateway, SessionKind};
use crate::sdp;
use problem::Problem;

/// What the routes work on.
#[derive(Clone)]
pub struct AppState {
    /// The control plane.
    pub gateway: Gateway,
    /// Where segments and playlists come from.
    pub hls: Arc<dyn HlsSource>,
    /// Who may publish and play.
    pub tokens: Arc<Tokens>,
    /// The rest of what can be configured.
    pub settings: Arc<Settings>,
}

/// What can be configured of the HTTP side.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which web origins may use the API.
    pub origins: Origins,
    /// The limits of the SDP parsers.
    pub sdp_limits: sdp::Limits,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// How long a request body may take to arrive.
    pub body_timeout: Duration,
    /// What a PATCH without `If-Match` gets.
    pub missing_if_match: MissingIfMatch,
    /// Whether HLS takes the play token as `?token=…` too. Query strings end up in logs and
    /// histories, so this is off by default.
    pub allow_query_token: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            origins: Origins::Any,
            sdp_limits: sdp::Limits::default(),
            max_body: 64 * 1024,
            body_timeout: Duration::from_secs(10),
            missing_if_match: MissingIfMatch::Refuse,
            allow_query_token: false,
        }
    }
}

/// What a PATCH without `If-Match` gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MissingIfMatch {
    /// 428, as RFC 9725, section 4.3.2 wants it.
    #[default]
    Refuse,
    /// It is taken as `*`, for clients that bend the rule.
    Any,
}

/// The routes of the server. In process: it binds nothing and starts nothing.
pub fn router(state: AppState) -> Router {
    let origins = Arc::new(state.settings.origins.clone());
    Router::new()
        .nest("/whip", endpoint::routes(SessionKind::Whip))
        .nest("/whep", endpoint::routes(SessionKind::Whep))
        .merge(hls::routes())
        .merge(streams::routes())
        .merge(pages::routes())
        .route("/healthz", get(|| async { "ok\n" }))
        .method_not_allowed_fallback(body::method_not_allowed)
        .fallback(body::no_route)
        .layer(middleware::from_fn_with_state(origins, cors::add_headers))
        .layer(middleware::from_fn(require_host))
        .layer(middleware::from_fn(log))
        .with_state(state)
}

/// RFC 9112, section 3.2: a request of HTTP/1.1 without `Host` is answered with 400.
async fn require_host(request: Request, next: Next) -> Response {
    if request.version() == Version::HTTP_11 && !request.headers().contains_key(header::HOST) {
        return Problem::NoHost.into_response();
    }
    next.run(request).await
}

/// One line a request. The route's pattern stands for the URL, which may hold a session id.
async fn log(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let (status, took) = (response.status(), Instant::now() - start);
    if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        tracing::warn!(%method, route, status = status.as_u16(), ?took, "request failed");
    } else {
        tracing::debug!(%method, route, status = status.as_u16(), ?took, "request");
    }
    response
}
