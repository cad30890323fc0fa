//! Layer selection, an extension of WHEP: `POST /whep/{stream}/{session}/layer` with a JSON object says
//! what the viewer wants to get of a track. An object without wishes goes back to the server's choice.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize;

use super::problem::{ACCEPT_POST, JSON, Problem};
use super::{AppState, body, path};
use crate::gateway::{LayerChoice, SessionKind};

/// The route.
pub(super) fn routes() -> Router<AppState> {
    let methods = post(select)
        .options(async || [(ACCEPT_POST, JSON)])
        .fallback(body::method_not_allowed);
    Router::new().route("/{stream}/{session}/layer", methods)
}

async fn select(State(state): State<AppState>, request: Request) -> Response {
    let (mut parts, mut body) = request.into_parts();
    let result = try_select(&state, &mut parts, &mut body).await;
    body::answer(result, &parts.headers, body).await
}

async fn try_select(
    state: &AppState,
    request: &mut Parts,
    body: &mut Body,
) -> Result<Response, Problem> {
    let (stream, id) = path::session(request).await?;
    state.authorize(SessionKind::Whep, &stream, request)?;
    let exists = state.gateway.exists(SessionKind::Whep, stream.clone(), id);
    exists.await.map_err(Problem::Session)?;
    body::require_type(&request.headers, JSON, ACCEPT_POST)?;
    let text = body::read(&request.headers, body, &state.settings).await?;
    let choice = parse(&text)?;
    let selected = state.gateway.select_layer(stream, id, choice).await;
    selected.map_err(Problem::Session)?;
    Ok(StatusCode::OK.into_response())
}

/// What a viewer may wish. Members with other names are passed over: players send back what the event
/// `layers` told them, with all that it held.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selection {
    media_id: Option<MediaId>,
    /// Older drafts, and the players made after them, say `encodingId`.
    #[serde(alias = "encodingId")]
    rid: Option<String>,
    spatial_layer_id: Option<u8>,
    temporal_layer_id: Option<u8>,
    max_width: Option<u32>,
    max_height: Option<u32>,
    max_spatial_layer_id: Option<u8>,
    max_temporal_layer_id: Option<u8>,
}

/// The index of an m-line is a text of digits; a number means the same.
#[derive(Deserialize)]
#[serde(untagged)]
enum MediaId {
    Text(String),
    Index(u8),
}

fn parse(text: &[u8]) -> Result<LayerChoice, Problem> {
    let wrong = |reason: String| {
        Problem::Json(format!(
            "this is no layer selection: {reason}; send an object such as {{\"rid\": \"h\"}}, \
             or {{}} to leave the choice to the server"
        ))
    };
    // A structure would be read from an array as well.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(wrong("the body is no JSON object".to_owned()));
    }
    let selection: Selection =
        serde_json::from_slice(text).map_err(|error| wrong(error.to_string()))?;
    if selection.rid.as_deref() == Some("") {
        return Err(wrong("rid is empty".to_owned()));
    }
    if selection.max_width == Some(0) || selection.max_height == Some(0) {
        return Err(wrong("maxWidth and maxHeight begin at 1".to_owned()));
    }
    Ok(LayerChoice {
        media_id: selection.media_id.map(|id| match id {
            MediaId::Text(id) => id,
            MediaId::Index(index) => index.to_string(),
        }),
        rid: selection.rid,
        spatial: selection.spatial_layer_id,
        temporal: selection.temporal_layer_id,
        max_width: selection.max_width,
        max_height: selection.max_height,
        max_spatial: selection.max_spatial_layer_id,
        max_temporal: selection.max_temporal_layer_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_read() {
        let choice = parse(
            br#" {"mediaId":"1","rid":"h","spatialLayerId":1,"temporalLayerId":2,"maxWidth":640,
                  "maxHeight":360,"maxSpatialLayerId":3,"maxTemporalLayerId":4,"bitrate":5}"#,
        );
        let expected = LayerChoice {
            media_id: Some("1".into()),
            rid: Some("h".into()),
            spatial: Some(1),
            temporal: Some(2),
            max_width: Some(640),
            max_height: Some(360),
            max_spatial: Some(3),
            max_temporal: Some(4),
        };
        assert_eq!(choice.unwrap(), expected);
    }

    #[test]
    fn no_wish_means_automatic() {
        for text in ["{}", "{\"rid\":null}", "{\"unknown\":[1]}"] {
            assert_eq!(parse(text.as_bytes()).unwrap(), LayerChoice::default());
        }
        let of_track = parse(b"{\"mediaId\":0}").unwrap();
        assert_eq!(of_track.media_id.as_deref(), Some("0"));
    }

    #[test]
    fn the_word_of_older_drafts_is_known() {
        let choice = parse(b"{\"mediaId\":\"0\",\"encodingId\":\"l\"}").unwrap();
        assert_eq!(choice.rid.as_deref(), Some("l"));
    }

    #[test]
    fn a_refusal_says_what_is_wrong() {
        for (text, part) in [
            ("", "no JSON object"),
            ("[]", "no JSON object"),
            ("null", "no JSON object"),
            ("{\"rid\":1}", "expected a string"),
            ("{\"rid\":\"\"}", "rid is empty"),
            ("{\"spatialLayerId\":-1}", "expected u8"),
            ("{\"maxWidth\":\"640\"}", "expected u32"),
            ("{\"maxHeight\":0}", "begin at 1"),
            ("{\"rid\":\"h\"", "EOF"),
            ("{} {}", "trailing"),
        ] {
            match parse(text.as_bytes()) {
                Err(Problem::Json(detail)) => assert!(detail.contains(part), "{text}: {detail}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
