//! Layer selection, an extension of WHEP: `POST /whep/{stream}/{session}/layer` with a JSON object says
//! what the viewer wants to get of a track. An object without wishes goes back to the server's choice.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Map, Value};

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

/// Reads what a viewer wishes. Members with other names are passed over: players send back what the
/// event `layers` told them, with all that it held.
pub(super) fn parse(text: &[u8]) -> Result<LayerChoice, Problem> {
    choice(text).map_err(|reason| {
        Problem::Json(format!(
            "this is no layer selection: {reason}; send an object such as {{\"rid\": \"h\"}}, \
             or {{}} to leave the choice to the server"
        ))
    })
}

fn choice(text: &[u8]) -> Result<LayerChoice, String> {
    let members = match serde_json::from_slice(text) {
        Ok(Value::Object(members)) => members,
        Ok(_) => return Err("the body is no JSON object".to_owned()),
        Err(error) => return Err(format!("the body is no JSON ({error})")),
    };
    // The index of an m-line is a text of digits; a number means the same.
    let media_id = match members.get("mediaId") {
        Some(Value::Number(index)) => Some(index.to_string()),
        _ => word(&members, "mediaId")?,
    };
    // Older drafts, and the players made after them, say encodingId.
    let rid = match word(&members, "rid")? {
        None => word(&members, "encodingId")?,
        rid => rid,
    };
    let size = |name| match number(&members, name)? {
        Some(0) => Err(format!("{name} is 0, and no picture is that small")),
        size => Ok(size),
    };
    Ok(LayerChoice {
        media_id,
        rid,
        spatial: number(&members, "spatialLayerId")?,
        temporal: number(&members, "temporalLayerId")?,
        max_width: size("maxWidth")?,
        max_height: size("maxHeight")?,
        max_spatial: number(&members, "maxSpatialLayerId")?,
        max_temporal: number(&members, "maxTemporalLayerId")?,
    })
}

/// No name of an encoding or a media section is longer (RFC 8851, section 4; RFC 5888, section 5).
const MAX_WORD: usize = 255;

fn word(members: &Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if (1..=MAX_WORD).contains(&text.len()) => Ok(Some(text.clone())),
        Some(_) => Err(format!(
            "{name} must be a text of 1 to {MAX_WORD} characters"
        )),
    }
}

fn number<T: TryFrom<u64>>(members: &Map<String, Value>, name: &str) -> Result<Option<T>, String> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let number = value.as_u64().and_then(|number| number.try_into().ok());
            let most = u64::MAX >> (64 - 8 * size_of::<T>());
            let wrong = || format!("{name} must be a whole number from 0 to {most}");
            number.map(Some).ok_or_else(wrong)
        }
    }
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
            ("", "no JSON"),
            ("[]", "no JSON object"),
            ("null", "no JSON object"),
            ("{\"rid\":1}", "rid must be a text"),
            ("{\"rid\":\"\"}", "rid must be a text of 1"),
            ("{\"mediaId\":[]}", "mediaId must be a text"),
            (
                "{\"spatialLayerId\":-1}",
                "spatialLayerId must be a whole number from 0 to 255",
            ),
            ("{\"temporalLayerId\":256}", "temporalLayerId must"),
            (
                "{\"maxWidth\":\"640\"}",
                "maxWidth must be a whole number from 0 to 4294967295",
            ),
            ("{\"maxHeight\":0}", "maxHeight is 0"),
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
