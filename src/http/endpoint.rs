//! The endpoints `/whip/{stream}` and `/whep/{stream}`: an offer in, a session and an answer out
//! (RFC 9725, section 4.2; draft-ietf-wish-whep, section 4.3).

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Extension, Router, body::Body};

use super::problem::{ACCEPT_PATCH, ACCEPT_POST, Problem, SDP};
use super::{
    AppState, body, client, cors, counter_offer, events, layer, links, path, priority, session,
};
use crate::gateway::{CreateError, Created, Description, SessionKind};
use crate::sdp;
use crate::stream::StreamName;

/// The endpoint of one protocol and the sessions under it.
pub(super) fn routes(kind: SessionKind) -> Router<AppState> {
    let routes = Router::new()
        .route("/{stream}", methods())
        .route("/{stream}/", methods())
        .route("/{stream}/{session}", session::methods())
        .route("/{stream}/{session}/", session::methods());
    let routes = match kind {
        SessionKind::Whip => routes,
        SessionKind::Whep => routes.merge(events::routes()).merge(layer::routes()),
    };
    routes.layer(Extension(kind))
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
    let right = state.authorize(kind, &stream, request)?;
    let offer = match body::is_absent(&request.headers, body) && may_counter(state, kind) {
        true => None,
        false => {
            body::require_type(&request.headers, SDP, ACCEPT_POST)?;
            let text = body::read(&request.headers, body, &state.settings).await?;
            // A player without an offer of its own asks for ours with a body of nothing.
            let none = text.is_empty() && may_counter(state, kind);
            (!none).then_some(text)
        }
    };
    let client = client::of(request);
    let gateway = &state.gateway;
    let created = match offer {
        None => gateway.counter_offer(stream.clone(), client, None).await,
        Some(text) => {
            let limits = &state.settings.sdp_limits;
            let offer = sdp::Offer::parse(&text, limits).map_err(Problem::Offer)?;
            let rank = priority::rank(&request.uri, right)?;
            let created = match kind {
                SessionKind::Whip => gateway.publish(stream.clone(), offer, client, rank).await,
                SessionKind::Whep => gateway.create(kind, stream.clone(), offer, client).await,
            };
            match created {
                Err(CreateError::Refused(refusal))
                    if may_counter(state, kind)
                        && counter_offer::may_help(&refusal)
                        && !counter_offer::prefers_problem(&request.headers) =>
                {
                    // The first reason says more than why there is no offer either.
                    let reason = Some(refusal.to_string());
                    let countered = gateway.counter_offer(stream.clone(), client, reason);
                    countered.await.map_err(|_| CreateError::Refused(refusal))
                }
                created => created,
            }
        }
    };
    let created = created.map_err(Problem::Create)?;
    Ok(created_response(state, kind, &stream, created))
}

/// What is wrong with an offer that was taken. There is no header for it: `Warning` is obsolete (RFC
/// 9111, section 5.5).
const NOTICE: HeaderName = HeaderName::from_static("tidegate-notice");

fn may_counter(state: &AppState, kind: SessionKind) -> bool {
    kind == SessionKind::Whep && state.settings.counter_offer
}

fn created_response(
    state: &AppState,
    kind: SessionKind,
    stream: &StreamName,
    created: Created,
) -> Response {
    let url = path::of_session(kind, stream, created.id);
    let (status, content_type) = match created.description {
        Description::Answer => (StatusCode::CREATED, SDP.to_owned()),
        Description::CounterOffer { valid } => (
            StatusCode::NOT_ACCEPTABLE,
            counter_offer::content_type(valid),
        ),
    };
    let mut headers = links::of_ice_servers(&state.settings.ice_servers);
    if kind == SessionKind::Whep {
        links::add_extensions(&mut headers, &url);
    }
    for notice in &created.notices {
        // Words of ours, which are plain text.
        if let Ok(value) = HeaderValue::from_str(notice) {
            headers.append(NOTICE, value);
        }
    }
    let own = [
        (header::CONTENT_TYPE, content_type),
        (header::LOCATION, url),
        (header::ETAG, format!("\"{}\"", created.etag)),
        (ACCEPT_PATCH, session::accepted(kind).to_owned()),
    ];
    (status, headers, own, created.sdp).into_response()
}

/// GET and HEAD: no content, but a type that tells players what this URL is.
async fn announce(request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    match path::stream(&mut parts).await {
        Ok(_) => ([(header::CONTENT_TYPE, SDP)], ()).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// Says what is taken. Who may POST is also told of the ICE servers, for clients that must know them
/// before they make an offer (RFC 9725, section 4.6); a browser's preflight never is.
async fn options(
    State(state): State<AppState>,
    Extension(kind): Extension<SessionKind>,
    request: Request,
) -> Response {
    let (mut parts, _) = request.into_parts();
    let stream = match path::stream(&mut parts).await {
        Ok(stream) => stream,
        Err(problem) => return problem.into_response(),
    };
    let preflight = cors::is_preflight(&parts.method, &parts.headers);
    let mut headers = match !preflight && state.authorize(kind, &stream, &parts).is_ok() {
        true => links::of_ice_servers(&state.settings.ice_servers),
        false => HeaderMap::new(),
    };
    headers.insert(ACCEPT_POST, HeaderValue::from_static(SDP));
    headers.into_response()
}
