//! Which line of the digest is shown by which rows and tests. Run it with `--nocapture` to read the list.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::*;

/// Every line, and the protocols that it is about.
const LINES: &[(&str, &[&str])] = &[
    ("E1", BOTH),
    ("E2", BOTH),
    ("E3", BOTH),
    ("E4", BOTH),
    ("E5", BOTH),
    ("E6", BOTH),
    ("E7", BOTH),
    ("E8", BOTH),
    ("E9", BOTH),
    ("E10", BOTH),
    ("E11", BOTH),
    ("E12", &["whep"]),
    ("E13", &["whep"]),
    ("E14", BOTH),
    ("E15", BOTH),
    ("E16", BOTH),
    ("E17", BOTH),
    ("E18", BOTH),
    ("E19", BOTH),
    ("S1", BOTH),
    ("S2", BOTH),
    ("S3", BOTH),
    ("S4", BOTH),
    ("S5", BOTH),
    ("S6", BOTH),
    ("S7", BOTH),
    ("S8", BOTH),
    ("S9", BOTH),
    ("S10", BOTH),
    ("S11", BOTH),
    ("S12", BOTH),
    // What real clients bend.
    ("R", BOTH),
    // Server-sent events and layers.
    ("X1", &["whep"]),
    ("X2", &["whep"]),
];

const BOTH: &[&str] = &["whip", "whep"];

/// What no row can show, or not all of it: the tests that do, and their files.
const TESTS: &[(&str, &str, &str)] = &[
    (
        "E5",
        "src/http/tests/ice_servers.rs",
        "only_who_may_begin_is_told_before_and_no_preflight_ever",
    ),
    (
        "E9",
        "src/http/tests/rate.rs",
        "every_change_counts_and_what_is_too_much_says_when_to_come_back",
    ),
    // Each row with a status from 400 on is held to it.
    ("E10", "src/http/tests/mod.rs", "assert_problem"),
    (
        "E17",
        "src/http/tests/offers.rs",
        "session_urls_can_not_be_guessed",
    ),
    (
        "E18",
        "src/http/tests/wire.rs",
        "a_client_that_waits_for_100_gets_it_at_once",
    ),
    (
        "E18",
        "src/http/tests/wire.rs",
        "a_client_that_sends_a_large_body_reads_why_it_is_refused",
    ),
    (
        "E19",
        "src/http/tests/offers.rs",
        "an_offer_over_a_limit_is_refused_with_the_limit",
    ),
    (
        "S1",
        "tests/it/lifetime.rs",
        "delete_says_goodbye_to_the_peer_and_frees_the_name_at_once",
    ),
    (
        "S5",
        "tests/it/fan_out.rs",
        "a_stream_goes_on_through_ice_restarts_and_new_addresses",
    ),
    (
        "S9",
        "src/transport/tests.rs",
        "an_ice_restart_accepts_both_credentials_until_the_new_ones_are_used",
    ),
    (
        "S9",
        "tests/it/conformance.rs",
        "our_whip_endpoint_keeps_every_rule",
    ),
    (
        "S9",
        "tests/it/conformance.rs",
        "our_whep_endpoint_keeps_every_rule_that_has_to_hold",
    ),
    (
        "S10",
        "tests/it/lifetime.rs",
        "a_publisher_that_dies_frees_its_stream_within_the_consent_timeout",
    ),
];

fn tables() -> impl Iterator<Item = &'static Row> {
    [
        endpoint::ROWS,
        offers::ROWS,
        session::ROWS,
        session::STRICT,
        leniency::ROWS,
        access::CLOSED,
        access::OPEN,
        access::QUERY,
        cross_origin::ANY_ORIGIN,
        cross_origin::ONE_ORIGIN,
        cross_origin::REDIRECTED,
        cross_origin::REFUSED,
        events::ROWS,
    ]
    .into_iter()
    .flatten()
}

#[test]
fn every_line_of_the_digest_is_shown_for_both_protocols() {
    let mut shown: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for row in tables() {
        for line in row.lines() {
            assert!(
                LINES.iter().any(|(known, _)| *known == line),
                "{}",
                row.name
            );
            let of_line = shown.entry(line).or_default();
            for kind in row.kinds() {
                of_line.entry(kind).or_default().push(row.name);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut list = String::new();
    for (line, kinds) in LINES {
        let tests: Vec<_> = TESTS.iter().filter(|(known, ..)| known == line).collect();
        for (_, file, name) in &tests {
            let text = fs::read_to_string(root.join(file)).unwrap();
            assert!(text.contains(&format!("fn {name}")), "{file} has no {name}");
            let _ = writeln!(list, "{line:4} {file}: {name}");
        }
        for kind in *kinds {
            let rows = shown.get(line).and_then(|of_line| of_line.get(kind));
            let rows = rows.map_or(&[][..], Vec::as_slice);
            assert!(
                !rows.is_empty() || !tests.is_empty(),
                "nothing shows {line} of {kind}"
            );
            for row in rows {
                let _ = writeln!(list, "{line:4} {kind} {row}");
            }
        }
    }
    println!("{list}");
}
