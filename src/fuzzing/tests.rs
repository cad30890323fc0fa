//! The bodies of the fuzz targets over their seeds, what proptest makes of them, and noise.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::sdp::fixtures;

fn fuzz_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// The committed inputs of a target. Those of the SDP targets are the captured bodies.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let fixtures = fuzz_folder().join("../fixtures/sdp");
    let folders = [fuzz_folder().join("seeds").join(target), fixtures];
    let count = if target.starts_with("sdp_") { 2 } else { 1 };
    let mut paths: Vec<_> = folders[..count]
        .iter()
        .flat_map(|folder| fs::read_dir(folder).into_iter().flatten())
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| fixtures::body(&fs::read(path).unwrap()))
        .collect()
}

#[test]
fn every_target_has_seeds_and_a_binary() {
    let manifest = fs::read_to_string(fuzz_folder().join("Cargo.toml")).unwrap();
    for Target { name, .. } in TARGETS {
        assert!(!seeds(name).is_empty(), "{name} has no seeds");
        let entry = format!("name = \"{name}\"\npath = \"targets/{name}.rs\"\n");
        assert!(manifest.contains(&entry), "{name} is not in the manifest");
    }
    let entries = manifest.matches("[[bin]]").count();
    assert_eq!(entries, TARGETS.len(), "the manifest has others");
}

#[test]
fn seeds_find_nothing() {
    for target in TARGETS {
        for seed in seeds(target.name) {
            (target.run)(&seed);
        }
    }
}

#[test]
fn noise_finds_nothing() {
    for target in TARGETS {
        let bytes = prop::collection::vec(any::<u8>(), 0..300);
        runner()
            .run(&bytes, |data| {
                (target.run)(&data);
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{}: {error}", target.name));
    }
}

/// A change of a seed: what is at a place, how much of it, and what comes instead.
type Change = (prop::sample::Index, usize, Vec<u8>);

#[test]
fn changed_seeds_find_nothing() {
    let change = (
        any::<prop::sample::Index>(),
        0..20usize,
        prop::collection::vec(any::<u8>(), 0..20),
    );
    for target in TARGETS {
        let seeds = prop::sample::select(seeds(target.name));
        let changes = prop::collection::vec(change.clone(), 1..8);
        runner()
            .run(
                &(seeds, changes),
                |(mut data, changes): (Vec<u8>, Vec<Change>)| {
                    for (at, len, new) in changes {
                        let at = at.index(data.len() + 1);
                        let end = (at + len).min(data.len());
                        data.splice(at..end, new);
                    }
                    (target.run)(&data);
                    Ok(())
                },
            )
            .unwrap_or_else(|error| panic!("{}: {error}", target.name));
    }
}

fn runner() -> TestRunner {
    TestRunner::new(Config {
        cases: 128,
        ..Config::default()
    })
}

#[test]
fn steps_end_with_their_bytes() {
    let data = [1, 2, 0, 1, 9, 255, 255, 0xFF, 0xFF, 8, 8];
    let steps: Vec<_> = Steps::of(&data)
        .map(|step| (step.kind, step.after.as_millis(), step.bytes))
        .collect();
    assert_eq!(steps, [(1, 2, &[9][..]), (255, 3048, &[8, 8])]);
    assert_eq!(Steps::of(&[0; 4000]).count(), 256);
}
