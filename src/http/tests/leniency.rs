//! The rules that clients bend, each with the request of one that does: rows R.

use super::*;
use crate::config::{Compatibility, LenientPatch};

/// whip-whep and @binbat/whip-whep trickle like this: no precondition for WHEP, and no port.
const WHIP_WHEP: &str = "a=ice-ufrag:abcd\r\n\
    a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
    m=video RTP/AVP 0\r\n\
    a=mid:0\r\n\
    a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n\
    a=end-of-candidates\r\n";

/// As simple-whip-client sent it.
const SIMPLE_WHIP_CLIENT: &str =
    include_str!("../../../tests/fixtures/sdp/patch-simple-whip-client.sdpfrag");

pub(super) const ROWS: &[Row] = &[
    Row::new("R: trickle of whip-whep", "PATCH", "/whep{session}", 204)
        .with(&[FRAGMENT])
        .body(WHIP_WHEP),
    Row::new("R: its restart", "PATCH", "/whep{session}", 200)
        .with(&[FRAGMENT])
        .body(WHIP_WHEP)
        .edit(&[("a=ice-ufrag:abcd", "a=ice-ufrag:EsAw")])
        .answers(&[("etag", "\"generation-2\"")])
        .holds(&["a=ice-ufrag"]),
    Row::new(
        "R S6: a publisher still needs the tag",
        "PATCH",
        "/whip{session}",
        428,
    )
    .with(&[FRAGMENT])
    .body(WHIP_WHEP),
    Row::new(
        "R: trickle of simple-whip-client",
        "PATCH",
        "/{kind}{session}",
        204,
    )
    .with(&[FRAGMENT, ("if-match", "\"generation-1\"")])
    .body(SIMPLE_WHIP_CLIENT)
    .edit(&[("wYPNzBQ0w6LWaWV9iiDfSXKXqU8rqwE4", "abcd")]),
    Row::new("R: a tag without quotes", "PATCH", "/{kind}{session}", 204)
        .with(&[FRAGMENT, ("if-match", "generation-1")])
        .body(CANDIDATES),
];

/// Everything to the letter.
pub(super) fn strict() -> Settings {
    Settings {
        compatibility: Compatibility {
            patch_without_if_match: LenientPatch::Never,
            unquoted_etag: false,
            ..Compatibility::default()
        },
        ..Settings::default()
    }
}

#[tokio::test]
async fn clients_that_people_use_work_by_default() {
    check_all(&open_app(), ROWS).await;
}

#[tokio::test]
async fn every_patch_can_be_let_off_its_precondition() {
    let settings = Settings {
        compatibility: Compatibility {
            patch_without_if_match: LenientPatch::Always,
            ..Compatibility::default()
        },
        ..Settings::default()
    };
    let row = Row::new("lenient", "PATCH", "/{kind}{session}", 204)
        .with(&[FRAGMENT])
        .body(CANDIDATES);
    row.check(&app(Tokens::default(), settings)).await;
}
