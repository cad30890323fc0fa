//! The session, for both protocols: rows E17, E18, S1 to S8 and S11.

use super::*;

const CURRENT: (&str, &str) = ("if-match", "\"generation-1\"");
const OTHER: &str = "/{kind}/live/ffffffffffffffffffffffffffffffff";

const ANEW: &[(&str, &str)] = &[("a=ice-ufrag:abcd", "a=ice-ufrag:efgh")];

pub(super) const ROWS: &[Row] = &[
    Row::new("S1: the end", "DELETE", "/{kind}{session}", 200),
    Row::new(
        "S1: the precondition doesn't matter",
        "DELETE",
        "/{kind}{session}",
        200,
    )
    .with(&[("if-match", "\"old\"")]),
    Row::new("S2: a session that is unknown", "DELETE", OTHER, 404),
    Row::new(
        "S2 E17: one of the other kind",
        "DELETE",
        "/whep/live/000102030405060708090a0b0c0d0e0f",
        404,
    ),
    Row::new(
        "S2 E17: and the other way round",
        "DELETE",
        "/whip/live/101112131415161718191a1b1c1d1e1f",
        404,
    ),
    Row::new(
        "S2 E17: one of another stream",
        "DELETE",
        "/whip/other/000102030405060708090a0b0c0d0e0f",
        404,
    ),
    Row::new("S2: no id at all", "DELETE", "/{kind}/live/x", 404),
    Row::new("S2: PATCH of one that is unknown", "PATCH", OTHER, 404).with(&[FRAGMENT, CURRENT]),
    Row::new("S2: even without a precondition", "PATCH", OTHER, 404).with(&[FRAGMENT]),
    Row::new("S2: GET of one that is unknown", "GET", OTHER, 404),
    Row::new("S2: OPTIONS of one that is unknown", "OPTIONS", OTHER, 404),
    Row::new("S4: candidates", "PATCH", "/{kind}{session}", 204)
        .with(&[FRAGMENT, CURRENT])
        .body(CANDIDATES)
        .answers(&[("etag", ""), ("content-type", "")]),
    Row::new(
        "S4: candidates that nobody can reach",
        "PATCH",
        "/{kind}{session}",
        204,
    )
    .with(&[FRAGMENT, CURRENT])
    .body(CANDIDATES)
    .edit(&[(
        "a=candidate:1 1 udp 2130706431 192.0.2.1 50000 typ host\r\n",
        "a=candidate:1 1 udp 2130706431 8e2f.local 50000 typ host\r\n\
             a=candidate:2 1 sctp 2130706431 192.0.2.1 50000 typ host\r\na=candidate:nonsense\r\n",
    )]),
    Row::new("S4: a list of tags", "PATCH", "/{kind}{session}", 204)
        .with(&[FRAGMENT, ("if-match", "\"old\", \"generation-1\"")])
        .body(CANDIDATES),
    Row::new("S4 R: only the end", "PATCH", "/{kind}{session}", 204)
        .with(&[FRAGMENT, CURRENT])
        .body("a=end-of-candidates\r\n"),
    Row::new("S5: a restart", "PATCH", "/{kind}{session}", 200)
        .with(&[FRAGMENT, ("if-match", "\"*\"")])
        .body(CANDIDATES)
        .edit(ANEW)
        .answers(&[FRAGMENT, ("etag", "\"generation-2\"")])
        .holds(&["a=ice-ufrag:new1"]),
    Row::new("S5: as HTTP has it", "PATCH", "/{kind}{session}", 200)
        .with(&[FRAGMENT, ("if-match", "*")])
        .body(CANDIDATES)
        .edit(ANEW)
        .answers(&[FRAGMENT, ("etag", "\"generation-2\"")])
        .holds(&["a=ice-ufrag:new1"]),
    Row::new(
        "S5: other credentials say it",
        "PATCH",
        "/{kind}{session}",
        200,
    )
    .with(&[FRAGMENT, CURRENT])
    .body(CANDIDATES)
    .edit(ANEW)
    .answers(&[("etag", "\"generation-2\"")])
    .holds(&["a=ice-ufrag:new1"]),
    Row::new(
        "S4 S5: the same ones don't",
        "PATCH",
        "/{kind}{session}",
        204,
    )
    .with(&[FRAGMENT, ("if-match", "*")])
    .body(CANDIDATES),
    Row::new("S7: an old tag", "PATCH", "/{kind}{session}", 412)
        .with(&[FRAGMENT, ("if-match", "\"generation-0\"")])
        .body(CANDIDATES)
        .holds(&["restarted"]),
    Row::new("S7: a weak tag", "PATCH", "/{kind}{session}", 412)
        .with(&[FRAGMENT, ("if-match", "W/\"generation-1\"")])
        .body(CANDIDATES)
        .holds(&["weak"]),
    Row::new(
        "S8: a broken precondition",
        "PATCH",
        "/{kind}{session}",
        400,
    )
    .with(&[FRAGMENT, ("if-match", "\"generation-1")])
    .body(CANDIDATES),
    Row::new("S8: another type", "PATCH", "/{kind}{session}", 415)
        .with(&[("content-type", "application/json"), CURRENT])
        .body(CANDIDATES)
        .answers(&[("accept-patch", "application/trickle-ice-sdpfrag")])
        .holds(&["application/trickle-ice-sdpfrag"]),
    Row::new(
        "S8: a publisher makes no second offer",
        "PATCH",
        "/whip{session}",
        415,
    )
    .with(&[SDP, CURRENT])
    .body(OFFER),
    Row::new("S8: no fragment", "PATCH", "/{kind}{session}", 400)
        .with(&[FRAGMENT, CURRENT])
        .body("{\"candidate\": \"\"}"),
    Row::new("S8: nothing", "PATCH", "/{kind}{session}", 400)
        .with(&[FRAGMENT, CURRENT])
        .holds(&["says nothing"]),
    Row::new("S11: GET has no content", "GET", "/{kind}{session}", 204),
    Row::new("S11: HEAD", "HEAD", "/{kind}{session}", 204),
    Row::new("S11 R: a slash at the end", "GET", "/{kind}{session}/", 204),
    Row::new(
        "E5: what a session takes",
        "OPTIONS",
        "/{kind}{session}",
        200,
    )
    .answers(&[("accept-patch", "application/trickle-ice-sdpfrag")]),
    Row::new("E18: POST to a session", "POST", "/{kind}{session}", 405)
        .with(&[SDP])
        .body(OFFER)
        .answers(&[("allow", "GET,HEAD,PATCH,DELETE,OPTIONS")]),
    Row::new("E18: PUT to a session", "PUT", "/{kind}{session}", 405)
        .answers(&[("allow", "PATCH")]),
];

/// The digest's rules about the missing precondition, with no leniency.
pub(super) const STRICT: &[Row] = &[
    Row::new("S6: no precondition", "PATCH", "/{kind}{session}", 428)
        .with(&[FRAGMENT])
        .body(CANDIDATES)
        .holds(&["If-Match is missing"]),
    Row::new("S8: a tag without quotes", "PATCH", "/{kind}{session}", 400)
        .with(&[FRAGMENT, ("if-match", "generation-1")])
        .body(CANDIDATES),
];

#[tokio::test]
async fn the_session_keeps_its_promises() {
    check_all(&open_app(), ROWS).await;
}

#[tokio::test]
async fn without_leniency_the_precondition_is_asked_for_to_the_letter() {
    check_all(&app(Tokens::default(), leniency::strict()), STRICT).await;
}
