//! The extensions of WHEP: server-sent events and layer selection, rows X1 and X2.

use super::*;

const JSON: (&str, &str) = ("content-type", "application/json");

pub(super) const ROWS: &[Row] = &[
    Row::new("X1 X2: both are announced", "POST", "/whep/live", 201)
        .with(&[SDP])
        .body(OFFER)
        .answers(&[
            (
                "link",
                "<{session}/events>; rel=\"urn:ietf:params:whep:ext:core:server-sent-events\"; \
                 events=\"active,inactive,layers,reconnect,viewercount\"",
            ),
            (
                "link",
                "<{session}/layer>; rel=\"urn:ietf:params:whep:ext:core:layer\"",
            ),
        ])
        .holds(&["v=0"]),
    Row::new("X1: publishers have none", "POST", "/whip/live", 201)
        .with(&[SDP])
        .body(OFFER)
        .answers(&[("link", "")])
        .holds(&["v=0"]),
    Row::new(
        "X1: a stream of some events",
        "POST",
        "/whep{session}/events",
        201,
    )
    .with(&[JSON])
    .body("[\"active\",\"viewercount\"]")
    .answers(&[("location", "{session}/events/")]),
    Row::new("X1: a stream of all", "POST", "/whep{session}/events", 201)
        .answers(&[("location", "{session}/events/")]),
    Row::new("X1: an unknown event", "POST", "/whep{session}/events", 400)
        .with(&[JSON])
        .body("[\"active\",\"weather\"]")
        .holds(&["weather", "active,inactive,layers,reconnect,viewercount"]),
    Row::new("X1: no list", "POST", "/whep{session}/events", 400)
        .with(&[JSON])
        .body("{}"),
    Row::new("X1: another type", "POST", "/whep{session}/events", 415)
        .with(&[SDP])
        .body("[]")
        .answers(&[("accept-post", "application/json")]),
    Row::new(
        "X1: no session",
        "POST",
        "/whep/live/ffffffffffffffffffffffffffffffff/events",
        404,
    ),
    Row::new(
        "X1: a publisher's session",
        "POST",
        "/whip/live/000102030405060708090a0b0c0d0e0f/events",
        404,
    ),
    Row::new("X1: what is taken", "OPTIONS", "/whep{session}/events", 200)
        .answers(&[("accept-post", "application/json")]),
    Row::new(
        "X1: the entry is not the stream",
        "GET",
        "/whep{session}/events",
        405,
    )
    .answers(&[("allow", "POST")]),
    Row::new(
        "X1: a stream that is unknown",
        "GET",
        "/whep{session}/events/ffffffffffffffffffffffffffffffff",
        404,
    ),
    Row::new(
        "X1: the end of one",
        "DELETE",
        "/whep{session}/events/ffffffffffffffffffffffffffffffff",
        404,
    ),
    Row::new("X1: no id", "GET", "/whep{session}/events/x", 404),
    Row::new(
        "X1 E5: a page may end it",
        "OPTIONS",
        "/whep{session}/events/x",
        204,
    )
    .with(&[
        ("origin", "https://page.test"),
        ("access-control-request-method", "DELETE"),
    ])
    .answers(&[("access-control-allow-methods", "DELETE")]),
    Row::new("X2: a layer", "POST", "/whep{session}/layer", 200)
        .with(&[JSON])
        .body("{\"mediaId\":\"0\",\"rid\":\"h\"}"),
    Row::new(
        "X2: the server's choice",
        "POST",
        "/whep{session}/layer",
        200,
    )
    .with(&[JSON])
    .body("{}"),
    Row::new(
        "X2: a layer that is not there",
        "POST",
        "/whep{session}/layer",
        400,
    )
    .with(&[JSON])
    .body("{\"rid\":\"x\"}")
    .holds(&["layers"]),
    Row::new("X2: no selection", "POST", "/whep{session}/layer", 400)
        .with(&[JSON])
        .body("{\"maxWidth\":\"wide\"}")
        .holds(&["maxWidth", "{\\\"rid\\\": \\\"h\\\"}"]),
    Row::new("X2: another type", "POST", "/whep{session}/layer", 415)
        .body("{}")
        .answers(&[("accept-post", "application/json")]),
    Row::new(
        "X2: no session",
        "POST",
        "/whep/live/ffffffffffffffffffffffffffffffff/layer",
        404,
    )
    .with(&[JSON])
    .body("{}"),
    Row::new("X2: GET", "GET", "/whep{session}/layer", 405).answers(&[("allow", "POST")]),
];

#[tokio::test]
async fn the_extensions_keep_their_promises() {
    check_all(&open_app(), ROWS).await;
}
