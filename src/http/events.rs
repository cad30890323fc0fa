//! Server-sent events, an extension of WHEP: what happens to the broadcast while a viewer watches.
//!
//! `POST /whep/{stream}/{session}/events` with a JSON array of names, or nothing for all, makes an event
//! stream; `GET` reads it, `DELETE` ends it, and so does the end of the session. Making and ending ask
//! for the token. Reading does not: `EventSource` can't send one, and the URL has two random numbers of
//! 128 bits in it that only who had the token was told.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::event_streams::EventStreams;
use super::problem::{ACCEPT_POST, JSON, Problem};
use super::{AppState, body, path};
use crate::gateway::{Events, LayerStatus, MediaLayers, SessionError, SessionKind, StreamEvent};

/// Some proxies hold back what does not come in one piece.
const UNBUFFERED: [(HeaderName, &str); 1] = [(HeaderName::from_static("x-accel-buffering"), "no")];

/// After this much silence a comment shows that the stream is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The routes.
pub(super) fn routes() -> Router<AppState> {
    let entry = post(create)
        .options(async || [(ACCEPT_POST, JSON)])
        .fallback(body::method_not_allowed);
    let stream = get(read)
        .head(head)
        .delete(delete)
        .options(async || StatusCode::OK)
        .fallback(body::method_not_allowed);
    Router::new()
        .route("/{stream}/{session}/events", entry)
        .route("/{stream}/{session}/events/{events}", stream)
}

/// A set of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventNames(u8);

impl EventNames {
    const NAMES: [&str; 5] = ["active", "inactive", "layers", "reconnect", "viewercount"];

    /// Those that every session can have.
    pub(super) const ANNOUNCED: Self = Self((1 << Self::NAMES.len()) - 1);

    /// Reads the body of a request for a stream.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Problem> {
        if text.is_empty() {
            return Ok(Self::ANNOUNCED);
        }
        let wrong = |reason: String| {
            let all = Self::ANNOUNCED;
            Problem::Json(format!(
                "{reason}; send a JSON array of some of {all}, or nothing for all"
            ))
        };
        let names: Vec<String> = serde_json::from_slice(text)
            .map_err(|error| wrong(format!("this is no list of events: {error}")))?;
        let mut set = Self(0);
        for name in names {
            match Self::bit(&name) {
                Some(bit) => set.0 |= bit,
                None => {
                    let name: String = name.chars().take(32).collect();
                    return Err(wrong(format!("there is no event {name:?}")));
                }
            }
        }
        match set.0 {
            0 => Err(wrong("no event was asked for".to_owned())),
            _ => Ok(set),
        }
    }

    fn has(self, name: &str) -> bool {
        Self::bit(name).is_some_and(|bit| self.0 & bit != 0)
    }

    fn bit(name: &str) -> Option<u8> {
        let index = Self::NAMES.iter().position(|known| *known == name)?;
        Some(1 << index)
    }
}

/// As the `Link` lists them. Some players cut their fields at a comma with a space.
impl fmt::Display for EventNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Self::NAMES.iter().filter(|name| self.has(name));
        f.write_str(&names.copied().collect::<Vec<_>>().join(","))
    }
}

async fn create(
    State(state): State<AppState>,
    Extension(streams): Extension<Arc<EventStreams>>,
    request: Request,
) -> Response {
    let (mut parts, mut body) = request.into_parts();
    let result = try_create(&state, &streams, &mut parts, &mut body).await;
    body::answer(result, &parts.headers, body).await
}

async fn try_create(
    state: &AppState,
    streams: &Arc<EventStreams>,
    request: &mut Parts,
    body: &mut Body,
) -> Result<Response, Problem> {
    let (stream, session) = path::session(request).await?;
    state.authorize(SessionKind::Whep, &stream, request)?;
    let exists = state
        .gateway
        .exists(SessionKind::Whep, stream.clone(), session);
    exists.await.map_err(Problem::Session)?;
    let text = match body::is_absent(&request.headers, body) {
        true => bytes::Bytes::new(),
        false => {
            body::require_type(&request.headers, JSON, ACCEPT_POST)?;
            body::read(&request.headers, body, &state.settings).await?
        }
    };
    let names = EventNames::parse(&text)?;
    let id = streams.add(&stream, session, names)?;
    streams.sweep_if_many(&state.gateway);
    let url = path::of_session(SessionKind::Whep, &stream, session);
    let location = [(header::LOCATION, format!("{url}/events/{id}"))];
    Ok((StatusCode::CREATED, location).into_response())
}

async fn read(
    State(state): State<AppState>,
    Extension(streams): Extension<Arc<EventStreams>>,
    request: Request,
) -> Response {
    let (mut parts, _) = request.into_parts();
    match try_read(&state, &streams, &mut parts).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn try_read(
    state: &AppState,
    streams: &EventStreams,
    request: &mut Parts,
) -> Result<Response, Problem> {
    let (stream, session, id) = path::event_stream(request).await?;
    let reading = streams.read(session, id);
    let reading = reading.ok_or(Problem::Session(SessionError::NotFound))?;
    let events = match state.gateway.events(stream, session).await {
        Ok(events) => events,
        Err(error) => {
            if matches!(error, SessionError::NotFound) {
                streams.forget(session);
            }
            return Err(Problem::Session(error));
        }
    };
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(pump(events, reading, sender));
    let body = Sse::new(ReceiverStream::new(receiver))
        .keep_alive(KeepAlive::new().interval(HEARTBEAT).text("still here"));
    Ok((UNBUFFERED, body).into_response())
}

/// What GET would answer, but nothing is read: that would take the place of who reads.
async fn head(
    State(state): State<AppState>,
    Extension(streams): Extension<Arc<EventStreams>>,
    request: Request,
) -> Response {
    let (mut parts, _) = request.into_parts();
    match try_head(&state, &streams, &mut parts).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn try_head(
    state: &AppState,
    streams: &EventStreams,
    request: &mut Parts,
) -> Result<Response, Problem> {
    let (stream, session, id) = path::event_stream(request).await?;
    if !streams.exists(session, id) {
        return Err(Problem::Session(SessionError::NotFound));
    }
    let exists = state.gateway.exists(SessionKind::Whep, stream, session);
    exists.await.map_err(Problem::Session)?;
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    Ok((headers, UNBUFFERED).into_response())
}

async fn delete(
    State(state): State<AppState>,
    Extension(streams): Extension<Arc<EventStreams>>,
    request: Request,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let result = try_delete(&state, &streams, &mut parts).await;
    body::answer(result, &parts.headers, body).await
}

async fn try_delete(
    state: &AppState,
    streams: &EventStreams,
    request: &mut Parts,
) -> Result<Response, Problem> {
    let (stream, session, id) = path::event_stream(request).await?;
    state.authorize(SessionKind::Whep, &stream, request)?;
    match streams.remove(session, id) {
        true => Ok(StatusCode::OK.into_response()),
        false => Err(Problem::Session(SessionError::NotFound)),
    }
}

/// A request that reads an event stream.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) names: EventNames,
    /// Ends when the stream was deleted or another request reads it.
    pub(super) over: oneshot::Receiver<()>,
}

/// Carries events from the control plane to a response, until one of them ends.
async fn pump(
    mut events: Events,
    mut reading: Reading,
    to: mpsc::Sender<Result<Event, Infallible>>,
) {
    loop {
        let event = tokio::select! {
            biased;
            _ = &mut reading.over => return,
            () = to.closed() => return,
            event = events.next() => event,
        };
        let Some(event) = event else { return };
        if let Some(text) = written(&event, reading.names)
            && to.send(Ok(text)).await.is_err()
        {
            return;
        }
    }
}

/// An event as it is sent, its data on one line; `None` for one that was not asked for.
fn written(event: &StreamEvent, names: EventNames) -> Option<Event> {
    let (name, data) = match event {
        StreamEvent::Active => ("active", json!({})),
        StreamEvent::Inactive => ("inactive", json!({})),
        StreamEvent::Layers(media) => ("layers", layers(media)),
        StreamEvent::Reconnect { url: None } => ("reconnect", json!({})),
        StreamEvent::Reconnect { url: Some(url) } => ("reconnect", json!({ "url": url })),
        StreamEvent::ViewerCount(count) => ("viewercount", json!({ "viewercount": count })),
    };
    let event = || Event::default().event(name).data(data.to_string());
    names.has(name).then(event)
}

/// The layers by the index of their m-line.
fn layers(media: &[MediaLayers]) -> Value {
    let of_media = media.iter().map(|media| {
        let layers = media.layers.iter().map(layer).collect();
        (media.media.to_string(), Value::Array(layers))
    });
    Value::Object(of_media.collect())
}

fn layer(status: &LayerStatus) -> Value {
    let mut layer = Map::new();
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            layer.insert(name.to_owned(), value);
        }
    };
    let rid = &status.encoding_id;
    add("rid", (!rid.is_empty()).then(|| rid.as_str().into()));
    add("spatialLayerId", status.spatial.map(Value::from));
    add("temporalLayerId", status.temporal.map(Value::from));
    // A layer without it is inactive.
    add(
        "bitrate",
        (status.bitrate > 0).then(|| status.bitrate.into()),
    );
    add("targetBitrate", status.target_bitrate.map(Value::from));
    add("width", status.width.map(Value::from));
    add("height", status.height.map(Value::from));
    Value::Object(layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        match EventNames::parse(text.as_bytes()) {
            Ok(names) => Ok(names.to_string()),
            Err(Problem::Json(detail)) => Err(detail),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn events_are_asked_for_by_name() {
        let all = "active,inactive,layers,reconnect,viewercount";
        assert_eq!(parse("").as_deref(), Ok(all));
        let two = parse("[\"viewercount\", \"active\", \"active\"]");
        assert_eq!(two.as_deref(), Ok("active,viewercount"));
        for (text, part) in [
            ("[\"active\",\"weather\"]", "no event \"weather\""),
            ("[]", "no event was asked for"),
            ("{}", "no list of events"),
            ("[1]", "no list of events"),
            ("[\"active\"", "no list of events"),
        ] {
            let detail = parse(text).unwrap_err();
            assert!(detail.contains(part), "{text}: {detail}");
            assert!(detail.contains(all), "{text}: {detail}");
        }
    }

    #[test]
    fn layers_are_told_by_the_index_of_their_m_line() {
        let status = |encoding_id: &str, bitrate, width| LayerStatus {
            encoding_id: encoding_id.to_owned(),
            spatial: None,
            temporal: Some(1),
            bitrate,
            target_bitrate: None,
            width,
            height: width.map(|width| width / 2),
        };
        let media = MediaLayers {
            media: 1,
            mid: "video0".to_owned(),
            layers: vec![status("h", 2_000_000, Some(1280)), status("", 0, None)],
        };
        let expected = json!({"1": [
            {"rid": "h", "temporalLayerId": 1, "bitrate": 2_000_000, "width": 1280, "height": 640},
            {"temporalLayerId": 1},
        ]});
        assert_eq!(layers(&[media]), expected);
        assert!(!expected.to_string().contains('\n'));
    }
}
