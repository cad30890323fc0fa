//! The captured descriptions of `tests/fixtures/sdp`, for the tests of this module.

use std::fs;
use std::path::PathBuf;

use super::{Limits, Offer};

/// A body as a client sent it.
pub(super) struct Fixture {
    /// The file's name without `.sdp`.
    pub(super) name: String,
    pub(super) body: Vec<u8>,
}

impl Fixture {
    pub(super) fn offer(&self) -> Offer {
        match Offer::parse(&self.body, &Limits::default()) {
            Ok(offer) => offer,
            Err(error) => panic!("{}: {error}", self.name),
        }
    }
}

pub(super) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sdp")
}

/// What stands behind the lines that say where a fixture comes from.
pub(crate) fn body(file: &[u8]) -> Vec<u8> {
    let mut rest = file;
    while rest.starts_with(b"#") {
        let end = rest.iter().position(|byte| *byte == b'\n');
        rest = end.map_or(&[][..], |end| &rest[end + 1..]);
    }
    rest.to_vec()
}

/// The descriptions of clients whose name begins with `prefix`, by name.
pub(super) fn offers(prefix: &str) -> Vec<Fixture> {
    let mut fixtures: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_suffix(".sdp")?.to_owned();
            let wanted =
                name.starts_with(prefix) && !name.contains(".answer") && !name.contains(".offer");
            wanted.then(|| Fixture {
                body: body(&fs::read(&path).unwrap()),
                name,
            })
        })
        .collect();
    fixtures.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(!fixtures.is_empty());
    fixtures
}

#[test]
fn every_fixture_says_where_it_comes_from() {
    for fixture in offers("") {
        let file = fs::read(folder().join(format!("{}.sdp", fixture.name))).unwrap();
        let head = String::from_utf8_lossy(&file[..file.len() - fixture.body.len()]);
        let origin = ["# Sent to ", "# Made in ", "# NOT CAPTURED: made up "];
        let is_told = origin.iter().any(|origin| head.starts_with(origin));
        assert!(is_told && head.contains("2026"), "{}", fixture.name);
        assert!(fixture.body.starts_with(b"v=0\r\n"), "{}", fixture.name);
    }
}

pub(super) fn offer(name: &str) -> Fixture {
    offers(name).swap_remove(0)
}
