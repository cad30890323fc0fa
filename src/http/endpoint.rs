//! The endpoints `/whip/{stream}` and `/whep/{stream}`: an offer in, a session and an answer out
//! (RFC 9725, section 4.2; draft-ietf-wish-whep, section 4.2).

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Extension, Router, body::Body};

use super::problem::{ACCEPT_PATCH, ACCEPT_POST, FRAGMENT, Problem, SDP};
use super::{AppState, body, path, session};
use crate::gateway::SessionKind;
use crate::sdp;

/// The endpoint of one protocol and the sessions under it.
pub(super) fn routes(kind: SessionKind) -> Router<AppState> {
    Router::new()
        .route("/{stream}", methods())
        .route("/{stream}/", methods())
        .route("/{stream}/{session}", session::methods())
        .route("/{stream}/{session}/", session::methods())
        .layer(Extension(kind))
}

fn methods() -> MethodRouter<AppState> {
    get(announce)
        .post(create)
        .options(options)
        .fallback(body::method_not_allowed)
}

async fn create(
    State(state): State<AppState>,
    Extension(kind): Extension<SessionKind>,
    request: Request,
) -> Response {
    let (mut parts, mut body) = request.into_parts();
    let result = try_create(&state, kind, &mut parts, &mut body).await;
    body::answer(result, &parts.headers, body).await
}

async fn try_create(
    state: &AppState,
    kind: SessionKind,
    request: &mut Parts,
    body: &mut Body,
) -> Result<Response, Problem> {
    let stream = path::stream(request).await?;
    state
        .tokens
        .check(kind, &stream, request)
        .map_err(Problem::Denied)?;
    body::require_type(&request.headers, SDP, ACCEPT_POST)?;
    let settings = &state.settings;
    let offer = body::read(
        &request.headers,
        body,
        settings.max_body,
        settings.body_timeout,
    );
    let offer = sdp::Offer::parse(&offer.await?, &settings.sdp_limits).map_err(Problem::Offer)?;
    let client = path::client(request);
    let created = state
        .gateway
        .create(kind, stream.clone(), offer, client)
        .await;
    let created = created.map_err(Problem::Create)?;
    let protocol = match kind {
        SessionKind::Whip => "whip",
        SessionKind::Whep => "whep",
    };
    let headers = [
        (header::CONTENT_TYPE, SDP.to_owned()),
        (
            header::LOCATION,
            format!("/{protocol}/{stream}/{}", created.id),
        ),
        (header::ETAG, format!("\"{}\"", created.etag)),
        (ACCEPT_PATCH, FRAGMENT.to_owned()),
    ];
    Ok((StatusCode::CREATED, headers, created.sdp).into_response())
}

/// GET and HEAD: no content, but a type that tells players what this URL is.
async fn announce(request: Request) -> Response {
    describe(request, [(header::CONTENT_TYPE, SDP)]).await
}

async fn options(request: Request) -> Response {
    describe(request, [(ACCEPT_POST, SDP)]).await
}

async fn describe(request: Request, headers: impl axum::response::IntoResponseParts) -> Response {
    let (mut parts, _) = request.into_parts();
    match path::stream(&mut parts).await {
        Ok(_) => (headers, ()).into_response(),
        Err(problem) => problem.into_response(),
    }
}
