//! The rules about which part may use what, how large a file may get, and that the documents name
//! files that exist.

use std::fs;

use crate::source::{Source, code, files, has_word, root};

/// A crate and the only places that may name it.
const IMPORTERS: &[(&[&str], &[&str])] = &[
    (
        &[
            "gst",
            "gstreamer",
            "gstreamer_app",
            "gstreamer_sdp",
            "gstreamer_webrtc",
            "glib",
            "gst_app",
            "gst_webrtc",
        ],
        &["src/media/"],
    ),
    (&["axum", "hyper", "hyper_util", "tower"], &["src/http/"]),
    (
        &["hls_m3u8"],
        &["src/egress/hls/playlist.rs", "src/egress/hls/playlist/"],
    ),
    (
        &["prometheus_client"],
        &["src/http/metrics.rs", "src/http/metrics/"],
    ),
    (
        &["webrtc"],
        &["src/cli/watch/", "src/cli/check/conformance/media/"],
    ),
    (
        &["rustls", "tokio_rustls"],
        &["src/front/tls/", "src/cli/check/conformance/wire.rs"],
    ),
    (&["rustls_acme", "rcgen"], &["src/front/tls/"]),
    (&["quinn_udp", "socket2", "mio"], &["src/shard/"]),
    (&["if_addrs"], &["src/network/interface.rs"]),
    (&["clap"], &["src/cli/", "src/main.rs"]),
    (&["toml"], &["src/config/"]),
    (
        &["tracing_subscriber"],
        &["src/telemetry/", "src/config/validate.rs"],
    ),
];

/// Told the time, never ask for it; hold no socket; wait for nothing.
const PURE: &[&str] = &[
    "src/rtp/",
    "src/sdp/",
    "src/transport/",
    "src/ingest/",
    "src/stream/",
    "src/egress/",
    "src/front/entrances.rs",
    "src/front/first_bytes.rs",
    "src/front/opening.rs",
    "src/network/announcement.rs",
    "src/network/candidates.rs",
    "src/network/holder.rs",
    "src/network/reason.rs",
    "src/network/scope.rs",
    "src/network/stun.rs",
];
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "Utc::now",
    "Local::now",
    "sleep",
    "tokio",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
];

/// Lines of a file before its tests.
const MAX_LINES: usize = 400;

fn sources() -> Vec<Source> {
    let sources = files("src", "rs");
    assert!(sources.len() > 10, "the source files were not found");
    sources
}

#[test]
fn each_big_crate_has_one_importer() {
    let mut wrong = Vec::new();
    for source in sources() {
        // Tests may build the other side out of anything.
        if source.is_test() {
            continue;
        }
        let code = code(&source.text);
        for (crates, places) in IMPORTERS {
            if places.iter().any(|place| source.path.starts_with(place)) {
                continue;
            }
            for name in crates
                .iter()
                .filter(|name| names_crate(&code, name) && !has_module(&code, name))
            {
                wrong.push(format!(
                    "{} names {name}, which belongs to {}",
                    source.path,
                    places.join(", ")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_modules_ask_no_clock_and_hold_no_socket() {
    let mut wrong = Vec::new();
    for source in sources() {
        if !PURE.iter().any(|place| source.path.starts_with(place)) || source.is_test() {
            continue;
        }
        let code = code(source.without_tests());
        for word in IMPURE.iter().filter(|word| has_word(&code, word)) {
            wrong.push(format!("{} is pure, but uses {word}", source.path));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_small() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines = source.without_tests().lines().count();
        if lines > MAX_LINES && !source.is_test() {
            wrong.push(format!(
                "{} has {lines} lines before its tests, {MAX_LINES} are allowed",
                source.path
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_unsafe() {
    for source in ["src", "tests", "benches"]
        .iter()
        .flat_map(|folder| files(folder, "rs"))
    {
        assert!(
            !has_word(&code(&source.text), "unsafe"),
            "{} is unsafe",
            source.path
        );
    }
}

#[test]
fn the_documents_name_files_that_exist() {
    let mut documents = files("docs", "md");
    documents.push(Source {
        path: "README.md".to_owned(),
        text: fs::read_to_string(root().join("README.md")).unwrap(),
    });
    let mut wrong = Vec::new();
    let mut named = 0;
    for document in &documents {
        for path in paths(&document.text) {
            named += 1;
            if !root().join(path).exists() {
                wrong.push(format!(
                    "{} names {path}, which does not exist",
                    document.path
                ));
            }
        }
    }
    assert!(named > 10, "the documents name only {named} files");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether `code` names the crate: in a path or in a `use`.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].trim_end_matches("::");
        let whole = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        // `crate::webrtc` and `self::webrtc` would be modules of ours.
        let own = before.len() < at && before.ends_with(|c: char| c.is_alphanumeric());
        let after = &code[at + name.len()..];
        let used = before.ends_with("use ") && after.starts_with([';', ' ']);
        whole && !own && (after.starts_with("::") || used)
    })
}

/// Whether `name` is a module of ours here, declared or brought in.
fn has_module(code: &str, name: &str) -> bool {
    let statements = || code.split([';', '}']).map(str::trim);
    let declares = |text: &str| text.ends_with(&format!("mod {name}"));
    let brings = |text: &str| {
        let ours = ["use super::", "use self::", "use crate::"];
        ours.iter().any(|start| {
            text.rfind(start)
                .is_some_and(|at| has_word(&text[at..], name))
        })
    };
    statements().any(declares) || code.split(';').any(brings)
}

/// The paths of source, test and deployment files in a text.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && !"/._-".contains(c))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| {
            [
                "src/",
                "tests/",
                "benches/",
                "deploy/",
                "docs/",
                "pipelines/",
            ]
            .iter()
            .any(|top| word.starts_with(top))
        })
}

#[test]
fn a_crate_is_told_from_a_word_that_looks_like_it() {
    for code in [
        "use webrtc::A;",
        "use webrtc;",
        "let a = webrtc::b();",
        "use ::webrtc::A;",
        "use webrtc as w;",
    ] {
        assert!(names_crate(code, "webrtc"), "{code}");
    }
    for code in [
        "use crate::webrtc::A;",
        "let webrtc = 1;",
        "gstreamer_webrtc::A",
        "webrtc_x::A",
        "self::webrtc::A",
    ] {
        assert!(!names_crate(code, "webrtc"), "{code}");
    }
}
