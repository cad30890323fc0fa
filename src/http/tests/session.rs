//! The session: rows S1 to S8, S11 and E18.

use super::*;
use crate::config::{Compatibility, LenientPatch};
use double::WHIP_SESSION as SESSION;

const CURRENT: (&str, &str) = ("if-match", "\"generation-1\"");
const OTHER: &str = "/whip/live/ffffffffffffffffffffffffffffffff";

const ROWS: &[Row] = &[
    Row::new("S1: the end", "DELETE", SESSION, 200),
    Row::new(
        "S1: the precondition doesn't matter",
        "DELETE",
        SESSION,
        200,
    )
    .with(&[("if-match", "\"old\"")]),
    Row::new("S2: a session that is unknown", "DELETE", OTHER, 404),
    Row::new(
        "S2: one of the other kind",
        "DELETE",
        "/whep/live/000102030405060708090a0b0c0d0e0f",
        404,
    ),
    Row::new(
        "S2: one of another stream",
        "DELETE",
        "/whip/other/000102030405060708090a0b0c0d0e0f",
        404,
    ),
    Row::new("S2: no id at all", "DELETE", "/whip/live/x", 404),
    Row::new("S2: PATCH of one that is unknown", "PATCH", OTHER, 404).with(&[FRAGMENT, CURRENT]),
    Row::new("S2: even without a precondition", "PATCH", OTHER, 404).with(&[FRAGMENT]),
    Row::new("S2: GET of one that is unknown", "GET", OTHER, 404),
    Row::new("S2: OPTIONS of one that is unknown", "OPTIONS", OTHER, 404),
    Row::new("S4: candidates", "PATCH", SESSION, 204)
        .with(&[FRAGMENT, CURRENT])
        .body(CANDIDATES)
        .answers(&[("etag", ""), ("content-type", "")]),
    Row::new("S4: a tag without quotes", "PATCH", SESSION, 204)
        .with(&[FRAGMENT, ("if-match", "generation-1")])
        .body(CANDIDATES),
    Row::new("S4: a list of tags", "PATCH", SESSION, 204)
        .with(&[FRAGMENT, ("if-match", "\"old\", \"generation-1\"")])
        .body(CANDIDATES),
    Row::new("S5: a restart", "PATCH", SESSION, 200)
        .with(&[FRAGMENT, ("if-match", "\"*\"")])
        .body(CANDIDATES)
        .answers(&[FRAGMENT, ("etag", "\"generation-2\"")])
        .holds("a=ice-ufrag:new1"),
    Row::new("S5: a restart, as HTTP has it", "PATCH", SESSION, 200)
        .with(&[FRAGMENT, ("if-match", "*")])
        .body(CANDIDATES)
        .answers(&[FRAGMENT, ("etag", "\"generation-2\"")])
        .holds("a=ice-ufrag:new1"),
    Row::new("S6: no precondition", "PATCH", SESSION, 428)
        .with(&[FRAGMENT])
        .body(CANDIDATES),
    Row::new("S7: an old tag", "PATCH", SESSION, 412)
        .with(&[FRAGMENT, ("if-match", "\"generation-0\"")])
        .body(CANDIDATES),
    Row::new("S7: a weak tag", "PATCH", SESSION, 412)
        .with(&[FRAGMENT, ("if-match", "W/\"generation-1\"")])
        .body(CANDIDATES)
        .holds("weak"),
    Row::new("S8: a broken precondition", "PATCH", SESSION, 400)
        .with(&[FRAGMENT, ("if-match", "\"generation-1")])
        .body(CANDIDATES),
    Row::new("S8: another type", "PATCH", SESSION, 415)
        .with(&[SDP, CURRENT])
        .body(CANDIDATES)
        .answers(&[("accept-patch", "application/trickle-ice-sdpfrag")]),
    Row::new("S8: no fragment", "PATCH", SESSION, 400)
        .with(&[FRAGMENT, CURRENT])
        .body("{\"candidate\": \"\"}"),
    Row::new("S11: GET has no content", "GET", SESSION, 204),
    Row::new("S11: HEAD", "HEAD", SESSION, 204),
    Row::new(
        "a slash at the end",
        "GET",
        "/whip/live/000102030405060708090a0b0c0d0e0f/",
        204,
    ),
    Row::new("what is taken", "OPTIONS", SESSION, 200)
        .answers(&[("accept-patch", "application/trickle-ice-sdpfrag")]),
    Row::new("E18: POST", "POST", SESSION, 405)
        .with(&[SDP])
        .body(OFFER)
        .answers(&[("allow", "GET,HEAD,PATCH,DELETE,OPTIONS")]),
    Row::new("E18: PUT", "PUT", SESSION, 405).answers(&[("allow", "PATCH")]),
];

#[tokio::test]
async fn the_session_keeps_its_promises() {
    check_all(&open_app(), ROWS).await;
}

#[tokio::test]
async fn a_missing_precondition_can_be_allowed() {
    let settings = Settings {
        compatibility: Compatibility {
            patch_without_if_match: LenientPatch::Always,
            ..Compatibility::default()
        },
        ..Settings::default()
    };
    let row = Row::new("lenient", "PATCH", SESSION, 200)
        .with(&[FRAGMENT])
        .body(CANDIDATES)
        .holds("a=ice-ufrag:new1");
    row.check(&app(Tokens::default(), settings)).await;
}
