//! The session URLs `/whip/{stream}/{session}` and `/whep/{stream}/{session}`: trickle ICE, ICE
//! restarts and the end (RFC 9725, sections 4.2 and 4.3).

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use super::event_streams::EventStreams;
use super::problem::{ACCEPT_PATCH, FRAGMENT, Problem, SDP};
use super::{AppState, body, cors, path, precondition};
use crate::config::LenientPatch;
use crate::gateway::{IfMatch, Patched, SessionError, SessionId, SessionKind};
use crate::sdp;
use crate::stream::StreamName;

/// What a session URL takes.
pub(super) fn methods() -> MethodRouter<AppState> {
    get(exists)
        .patch(patch)
        .delete(delete)
        .options(options)
        .fallback(body::method_not_allowed)
}

async fn patch(
    State(state): State<AppState>,
    Extension(kind): Extension<SessionKind>,
    request: Request,
) -> Response {
    let (mut parts, mut body) = request.into_parts();
    let result = try_patch(&state, kind, &mut parts, &mut body).await;
    body::answer(result, &parts.headers, body).await
}

async fn try_patch(
    state: &AppState,
    kind: SessionKind,
    request: &mut Parts,
    body: &mut Body,
) -> Result<Response, Problem> {
    let (stream, id) = path::session(request).await?;
    state.authorize(kind, &stream, request)?;
    let exists = state.gateway.exists(kind, stream.clone(), id).await;
    exists.map_err(Problem::Session)?;
    let settings = &state.settings;
    if kind == SessionKind::Whep && body::is_of_type(&request.headers, SDP) {
        let text = body::read(&request.headers, body, settings).await?;
        return accept(state, stream, id, &text).await;
    }
    if !body::is_of_type(&request.headers, FRAGMENT) {
        return Err(Problem::ContentType {
            accepted: accepted(kind),
            header: ACCEPT_PATCH,
        });
    }
    let alternatives = preconditions(state, kind, request)?;
    let text = body::read(&request.headers, body, settings).await?;
    // RFC 9725 wants one tag; with a list, the first that holds decides.
    let mut failed = Problem::PreconditionWeak;
    for if_match in alternatives {
        let fragment =
            sdp::Fragment::parse(&text, &settings.sdp_limits).map_err(Problem::Fragment)?;
        match state
            .gateway
            .patch(kind, stream.clone(), id, if_match, fragment)
            .await
        {
            Ok(patched) => return Ok(patched_response(patched)),
            Err(SessionError::Stale) => failed = Problem::Session(SessionError::Stale),
            Err(error) => return Err(Problem::Session(error)),
        }
    }
    Err(failed)
}

/// A player's answer to the offer that it got from us (draft-ietf-wish-whep, section 4.3.2).
async fn accept(
    state: &AppState,
    stream: StreamName,
    id: SessionId,
    text: &[u8],
) -> Result<Response, Problem> {
    let limits = &state.settings.sdp_limits;
    let answer = sdp::Answer::parse(text, limits).map_err(Problem::Offer)?;
    let accepted = state.gateway.accept(stream, id, answer).await;
    accepted.map_err(Problem::Session)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What PATCH takes.
pub(super) fn accepted(kind: SessionKind) -> &'static str {
    match kind {
        SessionKind::Whip => FRAGMENT,
        SessionKind::Whep => "application/trickle-ice-sdpfrag, application/sdp",
    }
}

fn preconditions(
    state: &AppState,
    kind: SessionKind,
    request: &Parts,
) -> Result<Vec<IfMatch>, Problem> {
    let lenient = &state.settings.compatibility;
    let may_be_missing = match lenient.patch_without_if_match {
        LenientPatch::Never => false,
        LenientPatch::Whep => kind == SessionKind::Whep,
        LenientPatch::Always => true,
    };
    match precondition::if_match(&request.headers, lenient.unquoted_etag) {
        Ok(Some(alternatives)) => Ok(alternatives),
        Ok(None) if may_be_missing => Ok(vec![IfMatch::Any]),
        Ok(None) => Err(Problem::PreconditionMissing),
        Err(precondition::Malformed) => Err(Problem::PreconditionMalformed),
    }
}

fn patched_response(patched: Patched) -> Response {
    match patched {
        Patched::Candidates => StatusCode::NO_CONTENT.into_response(),
        Patched::Restarted { etag, fragment } => {
            let headers = [
                (header::CONTENT_TYPE, FRAGMENT.to_owned()),
                (header::ETAG, format!("\"{etag}\"")),
            ];
            (headers, fragment).into_response()
        }
    }
}

/// 200 rather than 204: some publishers take only the former for success.
async fn delete(
    State(state): State<AppState>,
    Extension(kind): Extension<SessionKind>,
    Extension(events): Extension<Arc<EventStreams>>,
    request: Request,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let result = try_delete(&state, kind, &events, &mut parts).await;
    body::answer(result, &parts.headers, body).await
}

async fn try_delete(
    state: &AppState,
    kind: SessionKind,
    events: &EventStreams,
    request: &mut Parts,
) -> Result<Response, Problem> {
    let (stream, id) = path::session(request).await?;
    state.authorize(kind, &stream, request)?;
    let deleted = state.gateway.delete(kind, stream, id).await;
    deleted.map_err(Problem::Session)?;
    events.forget(id);
    Ok(StatusCode::OK.into_response())
}

/// GET and HEAD: no content. The URL itself shows the right to ask, as it can't be guessed.
async fn exists(
    State(state): State<AppState>,
    Extension(kind): Extension<SessionKind>,
    request: Request,
) -> Response {
    match find(&state, kind, request).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn options(
    State(state): State<AppState>,
    Extension(kind): Extension<SessionKind>,
    request: Request,
) -> Response {
    let accepted = [(ACCEPT_PATCH, accepted(kind))];
    // A preflight must pass for its real request to be able to see the 404.
    if cors::is_preflight(request.method(), request.headers()) {
        return accepted.into_response();
    }
    match find(&state, kind, request).await {
        Ok(()) => accepted.into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn find(state: &AppState, kind: SessionKind, request: Request) -> Result<(), Problem> {
    let (mut parts, _) = request.into_parts();
    let (stream, id) = path::session(&mut parts).await?;
    let exists = state.gateway.exists(kind, stream, id).await;
    exists.map_err(Problem::Session)
}
