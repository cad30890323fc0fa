//! Pages of other origins: rows E5 and E11.

use axum::Extension;

use super::*;
use crate::http::plain::CamePlain;
use crate::http::{Origins, PlainHttp, Rules};

const ORIGIN: (&str, &str) = ("origin", "https://page.test");
const STRANGER: (&str, &str) = ("origin", "https://stranger.test");
const ASKS: (&str, &str) = ("access-control-request-method", "PATCH");
const ALLOWED: &[(&str, &str)] = &[
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "PATCH, DELETE"),
    (
        "access-control-allow-headers",
        "Authorization, Content-Type, If-Match",
    ),
    (
        "access-control-expose-headers",
        "Location, ETag, Link, Retry-After, Tidegate-Notice",
    ),
    ("access-control-max-age", "86400"),
];

pub(super) const ANY_ORIGIN: &[Row] = &[
    Row::new("E5 E11: the endpoint", "OPTIONS", "/{kind}/live", 204)
        .with(&[ORIGIN, ASKS])
        .answers(ALLOWED),
    Row::new(
        "E5: it still says what it takes",
        "OPTIONS",
        "/{kind}/live",
        204,
    )
    .with(&[ORIGIN, ASKS])
    .answers(&[("accept-post", "application/sdp")]),
    Row::new("E5 E11: a session", "OPTIONS", "/{kind}{session}", 204)
        .with(&[ORIGIN, ASKS])
        .answers(ALLOWED),
    Row::new("a session that has ended", "OPTIONS", "/whip/live/x", 204)
        .with(&[ORIGIN, ASKS])
        .answers(ALLOWED),
    Row::new("HLS", "OPTIONS", "/hls/live/index.m3u8", 204)
        .with(&[ORIGIN, ASKS])
        .answers(ALLOWED),
    Row::new("E11: an answer", "POST", "/whip/live", 201)
        .with(&[ORIGIN, SDP, ("authorization", "Bearer all")])
        .body(OFFER)
        .answers(&[
            ("access-control-allow-origin", "*"),
            (
                "access-control-expose-headers",
                "Location, ETag, Link, Retry-After, Tidegate-Notice",
            ),
            ("access-control-allow-credentials", ""),
        ])
        .holds(&["v=0"]),
    Row::new("E11: a refusal is readable too", "POST", "/whip/live", 401)
        .with(&[ORIGIN, SDP])
        .body(OFFER)
        .answers(&[("access-control-allow-origin", "*")]),
    Row::new("a route that is not there", "GET", "/nothing", 404)
        .with(&[ORIGIN])
        .answers(&[("access-control-allow-origin", "*")]),
];

pub(super) const ONE_ORIGIN: &[Row] = &[
    Row::new("E11: a known origin", "OPTIONS", "/{kind}/live", 204)
        .with(&[ORIGIN, ASKS])
        .answers(&[
            ("access-control-allow-origin", ORIGIN.1),
            ("vary", "Origin"),
        ]),
    Row::new("E11: an unknown origin", "OPTIONS", "/{kind}/live", 204)
        .with(&[STRANGER, ASKS])
        .answers(&[("access-control-allow-origin", ""), ("vary", "Origin")]),
    Row::new(
        "an unknown origin reads nothing",
        "GET",
        "/hls/live/index.m3u8",
        200,
    )
    .with(&[STRANGER])
    .answers(&[("access-control-allow-origin", ""), ("vary", "Origin")])
    .holds(&["#EXTM3U"]),
];

/// Where requests without TLS are sent to HTTPS.
pub(super) const REDIRECTED: &[Row] = &[
    Row::new("E5 E11: a question", "OPTIONS", "/{kind}/live", 204)
        .with(&[ORIGIN, ASKS])
        .answers(ALLOWED),
    Row::new("E9 E11: a redirect", "POST", "/{kind}/live", 307)
        .with(&[ORIGIN, SDP])
        .body(OFFER)
        .answers(&[
            ("location", "https://gateway.test/{kind}/live"),
            ("access-control-allow-origin", "*"),
        ]),
];

/// Where they are refused.
pub(super) const REFUSED: &[Row] = &[
    Row::new("E5 E11: a question", "OPTIONS", "/{kind}/live", 204)
        .with(&[ORIGIN, ASKS])
        .answers(ALLOWED),
    Row::new("E11: a refusal without TLS", "POST", "/{kind}/live", 403)
        .with(&[ORIGIN, SDP])
        .body(OFFER)
        .answers(&[("access-control-allow-origin", "*")])
        .holds(&["https://"]),
];

#[tokio::test]
async fn a_page_reads_what_becomes_of_requests_without_tls() {
    let redirect = PlainHttp::Redirect { port: Some(443) };
    for (rule, rows) in [(redirect, REDIRECTED), (PlainHttp::Refuse, REFUSED)] {
        let came = CamePlain {
            rule,
            from_here: false,
        };
        check_all(&open_app().layer(Extension(came)), rows).await;
    }
}

#[tokio::test]
async fn every_origin_may_ask_by_default_and_no_preflight_needs_a_token() {
    let rules = Rules {
        every_stream: vec!["all".parse().unwrap()],
        ..Rules::default()
    };
    let tokens = Tokens {
        publish: rules,
        play: Rules::default(),
        ..Tokens::default()
    };
    check_all(&app(tokens, Settings::default()), ANY_ORIGIN).await;
}

#[tokio::test]
async fn origins_can_be_listed() {
    let origins = Origins::only(["https://page.test"]).unwrap();
    let settings = Settings {
        origins,
        ..Settings::default()
    };
    check_all(&app(Tokens::default(), settings), ONE_ORIGIN).await;
}
