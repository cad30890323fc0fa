//! Who may do what: rows E5, E8 and S12.

use super::*;
use crate::http::Rules;

const REMOTE: (&str, &str) = ("test-remote", "yes");
const NOBODY: (&str, &str) = ("authorization", "Bearer nobody");
const ALL: (&str, &str) = ("authorization", "Bearer all");
const LIVE: (&str, &str) = ("authorization", "bearer live");
const OTHER: (&str, &str) = ("authorization", "Bearer other");

pub(super) const CLOSED: &[Row] = &[
    Row::new("E8: no token", "POST", "/{kind}/live", 401)
        .with(&[SDP])
        .body(OFFER)
        .answers(&[("www-authenticate", "Bearer realm=\"tidegate\"")]),
    Row::new("E8: an unknown token", "POST", "/{kind}/live", 401)
        .with(&[SDP, NOBODY])
        .body(OFFER)
        .answers(&[("www-authenticate", "error=\"invalid_token\"")]),
    Row::new("E8: another scheme", "POST", "/{kind}/live", 401)
        .with(&[SDP, ("authorization", "Basic YWxsOmFsbA==")])
        .body(OFFER)
        .answers(&[("www-authenticate", "Bearer")]),
    Row::new("E8: a token with a tail", "POST", "/{kind}/live", 401)
        .with(&[SDP, ("authorization", "Bearer all all")])
        .body(OFFER),
    Row::new("E8: a token of another stream", "POST", "/{kind}/live", 403)
        .with(&[SDP, OTHER])
        .body(OFFER)
        .answers(&[("www-authenticate", "error=\"insufficient_scope\"")]),
    Row::new("E8: a token of this stream", "POST", "/{kind}/live", 201)
        .with(&[SDP, LIVE])
        .body(OFFER)
        .holds(&["v=0"]),
    Row::new(
        "a token of every stream, from afar",
        "POST",
        "/whep/third",
        201,
    )
    .with(&[SDP, ALL, REMOTE])
    .body(OFFER)
    .holds(&["v=0"]),
    Row::new("E8: it comes before E2", "POST", "/{kind}/live", 401).body(OFFER),
    Row::new("E5: OPTIONS needs no token", "OPTIONS", "/{kind}/live", 200),
    Row::new("E7: HEAD needs no token", "HEAD", "/{kind}/live", 200).answers(&[SDP]),
    Row::new("S12: PATCH", "PATCH", "/{kind}{session}", 401)
        .with(&[FRAGMENT, ("if-match", "\"generation-1\"")])
        .body(CANDIDATES),
    Row::new(
        "S12: PATCH with the token",
        "PATCH",
        "/{kind}{session}",
        204,
    )
    .with(&[FRAGMENT, ("if-match", "\"generation-1\""), LIVE])
    .body(CANDIDATES),
    Row::new(
        "S12 X1: an event stream",
        "POST",
        "/whep{session}/events",
        401,
    ),
    Row::new("S12 X2: a layer", "POST", "/whep{session}/layer", 401),
    Row::new("S12: an answer", "PATCH", "/whep{session}", 401)
        .with(&[SDP])
        .body(OFFER),
    Row::new("E8 E13: a counter-offer", "POST", "/whep/live", 401),
    Row::new("S12: DELETE", "DELETE", "/{kind}{session}", 401),
    Row::new(
        "S12: DELETE with a token of another stream",
        "DELETE",
        "/{kind}{session}",
        403,
    )
    .with(&[OTHER]),
    Row::new(
        "S12: DELETE with the token",
        "DELETE",
        "/{kind}{session}",
        200,
    )
    .with(&[LIVE]),
    Row::new(
        "S12: the unknown stays hidden",
        "DELETE",
        "/{kind}/live/ffffffffffffffffffffffffffffffff",
        401,
    ),
    Row::new("HLS", "GET", "/hls/live/index.m3u8", 401).answers(&[
        ("www-authenticate", "Bearer"),
        ("cache-control", "no-store"),
    ]),
    Row::new(
        "HLS with a token in the URL",
        "GET",
        "/hls/live/index.m3u8?token=all",
        401,
    ),
    Row::new("HLS with the token", "GET", "/hls/live/video-1.m4s", 200)
        .with(&[LIVE])
        .answers(&[("cache-control", "private, max-age=3600")])
        .holds(&["0123456789"]),
    Row::new("DASH", "GET", "/dash/live/manifest.mpd", 401)
        .answers(&[("www-authenticate", "Bearer")]),
    Row::new("a segment of DASH", "GET", "/dash/live/video-1.m4s", 401),
    Row::new("the time is no secret", "GET", "/dash/live/time", 200).holds(&["Z"]),
    Row::new("DASH with the token", "GET", "/dash/live/video-1.m4s", 200)
        .with(&[LIVE])
        .answers(&[("cache-control", "private, max-age=3600")])
        .holds(&["0123456789"]),
    Row::new("the list", "GET", "/streams", 401).answers(&[("www-authenticate", "Bearer")]),
    Row::new("the list with an unknown token", "GET", "/streams", 401).with(&[NOBODY]),
    Row::new("the list for one stream", "GET", "/streams", 200)
        .with(&[OTHER])
        .holds(&["[{\"name\":\"other\","]),
    Row::new(
        "the list of those without their own",
        "GET",
        "/streams",
        200,
    )
    .with(&[ALL])
    .holds(&["[]"]),
    Row::new("the list for another", "GET", "/streams", 200)
        .with(&[LIVE])
        .holds(&["[{\"name\":\"live\","]),
];

pub(super) const OPEN: &[Row] = &[
    Row::new("publishing from here", "POST", "/whip/live", 201)
        .with(&[SDP])
        .body(OFFER)
        .holds(&["v=0"]),
    Row::new("publishing from afar", "POST", "/whip/live", 403)
        .with(&[SDP, REMOTE])
        .body(OFFER)
        .holds(&["auth.publish_token"]),
    Row::new(
        "publishing from afar through a proxy here",
        "POST",
        "/whip/live",
        403,
    )
    .with(&[SDP, ("x-forwarded-for", "192.0.2.7")])
    .body(OFFER),
    Row::new(
        "publishing from this machine's address",
        "POST",
        "/whip/live",
        201,
    )
    .with(&[SDP, ("test-own-address", "yes")])
    .body(OFFER)
    .holds(&["v=0"]),
    Row::new("a page of another site", "POST", "/whip/live", 403)
        .with(&[
            SDP,
            ("host", "localhost:8080"),
            ("origin", "https://evil.example"),
        ])
        .body(OFFER)
        .holds(&["auth.publish_token"]),
    Row::new(
        "a page without an origin of its own",
        "POST",
        "/whip/live",
        403,
    )
    .with(&[SDP, ("host", "localhost:8080"), ("origin", "null")])
    .body(OFFER)
    .holds(&["auth.publish_token"]),
    Row::new("a page of another port", "POST", "/whip/live", 403)
        .with(&[
            SDP,
            ("host", "localhost:8080"),
            ("origin", "http://localhost:9999"),
        ])
        .body(OFFER)
        .holds(&["auth.publish_token"]),
    Row::new("a page whose name leads here", "POST", "/whip/live", 403)
        .with(&[
            SDP,
            ("host", "evil.example:8080"),
            ("origin", "http://evil.example:8080"),
        ])
        .body(OFFER)
        .holds(&["auth.publish_token"]),
    Row::new("our page by name", "POST", "/whip/live", 201)
        .with(&[
            SDP,
            ("host", "localhost:8080"),
            ("origin", "http://localhost:8080"),
        ])
        .body(OFFER)
        .holds(&["v=0"]),
    Row::new("our page by address", "POST", "/whip/live", 201)
        .with(&[
            SDP,
            ("host", "127.0.0.1:8080"),
            ("origin", "http://127.0.0.1:8080"),
        ])
        .body(OFFER)
        .holds(&["v=0"]),
    Row::new("our page by IPv6 address", "POST", "/whip/live", 201)
        .with(&[SDP, ("host", "[::1]:8080"), ("origin", "http://[::1]:8080")])
        .body(OFFER)
        .holds(&["v=0"]),
    Row::new(
        "our page by another address of this machine",
        "POST",
        "/whip/live",
        201,
    )
    .with(&[SDP, ("host", "192.0.2.1"), ("origin", "http://192.0.2.1")])
    .body(OFFER)
    .holds(&["v=0"]),
    Row::new(
        "a page of another site ends no broadcast",
        "DELETE",
        "/whip{session}",
        403,
    )
    .with(&[("origin", "https://evil.example")]),
    Row::new("a page of another site plays", "POST", "/whep/live", 201)
        .with(&[SDP, ("origin", "https://evil.example")])
        .body(OFFER)
        .holds(&["v=0"]),
    Row::new(
        "ending a broadcast from afar",
        "DELETE",
        "/whip{session}",
        403,
    )
    .with(&[REMOTE]),
    Row::new("playing from afar", "POST", "/whep/live", 201)
        .with(&[SDP, REMOTE])
        .body(OFFER)
        .holds(&["v=0"]),
    Row::new("a token that isn't needed", "POST", "/whep/live", 201)
        .with(&[SDP, NOBODY])
        .body(OFFER)
        .holds(&["v=0"]),
];

#[tokio::test]
async fn with_tokens_every_door_but_the_announcements_is_closed() {
    check_all(&app(tokens(), Settings::default()), CLOSED).await;
}

#[tokio::test]
async fn without_tokens_all_may_play_and_this_machine_may_publish() {
    check_all(&open_app(), OPEN).await;
}

/// Where tokens in the URL are allowed.
pub(super) const QUERY: &[Row] = &[
    Row::new("right", "GET", "/hls/live/index.m3u8?a=b&token=live", 200).holds(&["#EXTM3U"]),
    Row::new("wrong", "GET", "/hls/live/index.m3u8?token=nobody", 401),
    Row::new(
        "of another stream",
        "GET",
        "/hls/live/index.m3u8?token=other",
        403,
    ),
    Row::new(
        "the header decides",
        "GET",
        "/hls/live/index.m3u8?token=all",
        401,
    )
    .with(&[NOBODY]),
    Row::new(
        "E8: a token in the URL",
        "POST",
        "/{kind}/live?token=live",
        201,
    )
    .with(&[SDP])
    .body(OFFER)
    .holds(&["v=0"]),
    Row::new(
        "E8: one of another stream",
        "POST",
        "/{kind}/live?token=other",
        403,
    )
    .with(&[SDP])
    .body(OFFER),
    Row::new(
        "E8: the header decides",
        "POST",
        "/{kind}/live?token=live",
        401,
    )
    .with(&[SDP, NOBODY])
    .body(OFFER),
    Row::new(
        "S12: a token in the URL",
        "DELETE",
        "/{kind}{session}?token=live",
        200,
    ),
    Row::new("the list", "GET", "/streams?token=other", 200).holds(&["[{\"name\":\"other\","]),
];

#[tokio::test]
async fn a_token_in_the_url_must_be_allowed() {
    let settings = Settings {
        allow_query_token: true,
        ..Settings::default()
    };
    check_all(&app(tokens(), settings), QUERY).await;
    let rows = [
        Row::new("E8: in the URL", "POST", "/{kind}/live?token=live", 401)
            .with(&[SDP])
            .body(OFFER),
        Row::new("the list", "GET", "/streams?token=other", 401),
    ];
    check_all(&app(tokens(), Settings::default()), &rows).await;
}

const STAND_BY: (&str, &str) = ("authorization", "Bearer stand-by");

const BACKUP: &[Row] = &[
    Row::new("a backup", "POST", "/whip/live", 201)
        .with(&[SDP, STAND_BY])
        .body(OFFER)
        .holds(&["v=0"]),
    Row::new("a backup of another stream", "POST", "/whip/other", 403)
        .with(&[SDP, STAND_BY])
        .body(OFFER)
        .answers(&[("www-authenticate", "error=\"insufficient_scope\"")]),
    Row::new("a backup does not play", "POST", "/whep/live", 401)
        .with(&[SDP, STAND_BY])
        .body(OFFER),
    Row::new("no backup", "POST", "/whip/live", 401)
        .with(&[SDP, NOBODY])
        .body(OFFER),
    Row::new("no token beside a backup's", "POST", "/whip/live", 401)
        .with(&[SDP])
        .body(OFFER),
    Row::new("the one before it", "POST", "/whip/live", 201)
        .with(&[SDP, LIVE])
        .body(OFFER)
        .holds(&["v=0"]),
];

#[tokio::test]
async fn a_backups_token_publishes_its_stream_and_no_more() {
    let mut tokens = tokens();
    tokens.backup.one_stream =
        [("live".parse().unwrap(), vec!["stand-by".parse().unwrap()])].into();
    check_all(&app(tokens, Settings::default()), BACKUP).await;
}

pub(super) fn tokens() -> Tokens {
    let rules = || Rules {
        every_stream: vec!["all".parse().unwrap()],
        one_stream: ["live", "other"]
            .map(|name| (name.parse().unwrap(), vec![name.parse().unwrap()]))
            .into(),
    };
    Tokens {
        publish: rules(),
        play: rules(),
        ..Tokens::default()
    }
}
