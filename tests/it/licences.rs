//! What the binary is made of: whose licences, from where, and nothing large twice.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// Licences that ask for no more than to be named.
const ALLOWED: &[&str] = &[
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Two versions of these cost minutes of building, or split types that must be one.
const ONCE: &[&str] = &[
    "axum",
    "bytes",
    "clap",
    "glib",
    "gstreamer",
    "http",
    "hyper",
    "mio",
    "ring",
    "rtc",
    "rustls",
    "serde",
    "socket2",
    "tokio",
    "tracing",
];

#[test]
fn licences_allow_both_of_ours() {
    for package in packages() {
        let name = text(&package, "name");
        let expression = text(&package, "license");
        assert!(
            is_allowed(expression),
            "{name} has the licence {expression:?}; allowed are {ALLOWED:?}"
        );
    }
}

#[test]
fn every_dependency_comes_from_the_public_registry() {
    for package in packages() {
        let source = package["source"].as_str();
        let own = text(&package, "name") == env!("CARGO_PKG_NAME");
        assert!(
            own || source == Some(CRATES_IO),
            "{} comes from {source:?}",
            text(&package, "name")
        );
    }
}

#[test]
fn large_dependencies_stand_once() {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages() {
        let version = text(&package, "version").to_owned();
        versions
            .entry(text(&package, "name").to_owned())
            .or_default()
            .push(version);
    }
    for name in ONCE {
        let found = versions.get(*name).map_or(&[][..], Vec::as_slice);
        assert_eq!(found.len(), 1, "{name} stands in Cargo.lock as {found:?}");
    }
}

/// The packages that this platform's build uses.
fn packages() -> Vec<Value> {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            &platform,
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().clone();
    assert!(
        packages.len() > 50,
        "cargo listed only {} packages",
        packages.len()
    );
    packages
}

fn text<'a>(package: &'a Value, field: &str) -> &'a str {
    package[field].as_str().unwrap_or_default()
}

/// Whether an SPDX expression can be met with the allowed licences. `/` is an old way to write `OR`.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any(&mut rest) && rest.is_empty()
}

fn any(words: &mut &[&str]) -> bool {
    let mut met = all(words);
    while take(words, "OR") {
        met |= all(words);
    }
    met
}

fn all(words: &mut &[&str]) -> bool {
    let mut met = one(words);
    while take(words, "AND") {
        met &= one(words);
    }
    met
}

fn one(words: &mut &[&str]) -> bool {
    if take(words, "(") {
        let met = any(words);
        return take(words, ")") && met;
    }
    let Some((licence, rest)) = words.split_first() else {
        return false;
    };
    *words = rest;
    // An exception only gives more rights.
    if take(words, "WITH") {
        *words = words.get(1..).unwrap_or_default();
    }
    ALLOWED.contains(licence)
}

fn take(words: &mut &[&str], word: &str) -> bool {
    match words.split_first() {
        Some((first, rest)) if *first == word => {
            *words = rest;
            true
        }
        _ => false,
    }
}

#[test]
fn licence_expressions_are_understood() {
    for expression in [
        "MIT",
        "GPL-3.0 OR MIT",
        "MIT/GPL-3.0",
        "(GPL-3.0 OR MIT) AND ISC",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(is_allowed(expression), "{expression}");
    }
    for expression in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT",
        "MIT)",
        "(GPL-3.0 OR MIT) AND MPL-2.0",
    ] {
        assert!(!is_allowed(expression), "{expression}");
    }
}
