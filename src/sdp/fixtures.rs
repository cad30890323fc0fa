//! The captured offers of `tests/fixtures/sdp`, for the tests of this module.

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

/// The offers whose name begins with `prefix`, by name.
pub(super) fn offers(prefix: &str) -> Vec<Fixture> {
    let mut fixtures: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_suffix(".sdp")?.to_owned();
            let wanted = name.starts_with(prefix) && !name.contains(".answer");
            wanted.then(|| Fixture {
                body: fs::read(&path).unwrap(),
                name,
            })
        })
        .collect();
    fixtures.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(!fixtures.is_empty());
    fixtures
}

pub(super) fn offer(name: &str) -> Fixture {
    offers(name).swap_remove(0)
}
