//! How often a client may ask, and who it is behind a proxy: row E9.

use super::*;
use crate::http::{Rate, Rules};

const PROXY: (&str, &str) = ("test-proxy", "yes");
const REMOTE: (&str, &str) = ("test-remote", "yes");

fn two_a_second() -> Settings {
    Settings {
        address_rate: Rate {
            // Slow enough for a busy machine.
            per_second: 1,
            burst: 2,
        },
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        ..Settings::default()
    }
}

#[tokio::test]
async fn every_change_counts_and_what_is_too_much_says_when_to_come_back() {
    for (method, path) in [
        ("POST", "/whep/live"),
        ("PATCH", double::WHEP_SESSION),
        ("DELETE", double::WHIP_SESSION),
        ("POST", "/whep/live/101112131415161718191a1b1c1d1e1f/layer"),
        ("OPTIONS", "/whip/live"),
    ] {
        let router = app(Tokens::default(), two_a_second());
        let mut last = None;
        for _ in 0..3 {
            last = Some(send(&router, method, path, &[REMOTE], "").await);
        }
        let last = last.unwrap();
        assert_eq!(last.status, 429, "{method} {path}");
        last.assert_problem(path);
        assert_eq!(last.headers["retry-after"], "1");
        assert!(last.body.contains("limits.address_requests_per_second"));
    }
}

#[tokio::test]
async fn reading_and_the_questions_of_browsers_are_free() {
    let router = app(Tokens::default(), two_a_second());
    let asks = ("access-control-request-method", "POST");
    for _ in 0..9 {
        for (method, path) in [
            ("GET", "/whip/live"),
            ("HEAD", "/whep/live"),
            ("GET", "/hls/live/index.m3u8"),
            ("OPTIONS", "/whep/live"),
        ] {
            let headers = [REMOTE, ("origin", "https://page.test"), asks];
            let answer = send(&router, method, path, &headers, "").await;
            assert!(answer.status.is_success(), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn clients_of_a_trusted_proxy_are_told_apart_and_others_are_not_believed() {
    let router = app(Tokens::default(), two_a_second());
    let ask = async |who, name| {
        let headers = [SDP, who, ("x-forwarded-for", name)];
        let offer = OFFER.replace("sendonly", "recvonly");
        send(&router, "POST", "/whep/mirror", &headers, offer).await
    };
    for name in [
        "198.51.100.1",
        "198.51.100.2",
        "198.51.100.3",
        "2001:db8::1",
    ] {
        let answer = ask(PROXY, name).await;
        assert_eq!(answer.status, 409);
        let shown = format!("from-{}", name.replace(':', "-"));
        assert!(answer.body.contains(&shown), "{answer:?}");
    }
    for (name, status) in [
        ("198.51.100.4", 409),
        ("198.51.100.5", 409),
        ("198.51.100.6", 429),
    ] {
        let answer = ask(REMOTE, name).await;
        assert_eq!(answer.status, status);
        assert!(!answer.body.contains("from-198"), "{answer:?}");
    }
}

#[tokio::test]
async fn what_a_proxy_says_of_scheme_and_host_changes_no_url() {
    let router = app(Tokens::default(), two_a_second());
    let headers = [
        SDP,
        PROXY,
        ("forwarded", "for=192.0.2.9;proto=https;host=other.test"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "other.test"),
    ];
    let offer = OFFER.replace("sendonly", "recvonly");
    let answer = send(&router, "POST", "/whep/live", &headers, offer).await;
    assert_eq!(answer.headers["location"], double::WHEP_SESSION);
    for link in answer.headers.get_all("link") {
        assert!(
            link.to_str().unwrap().starts_with("</whep/live/"),
            "{link:?}"
        );
    }
}

#[tokio::test]
async fn a_token_has_a_rate_of_its_own() {
    let tokens = Tokens {
        play: Rules {
            every_stream: vec!["one".parse().unwrap(), "two".parse().unwrap()],
            ..Rules::default()
        },
        ..Tokens::default()
    };
    let settings = Settings {
        token_rate: Rate {
            per_second: 1,
            burst: 1,
        },
        ..Settings::default()
    };
    let router = app(tokens, settings);
    for (token, status) in [
        ("Bearer one", 406),
        ("Bearer one", 429),
        ("Bearer two", 406),
        ("Basic x", 401),
    ] {
        let headers = [("authorization", token)];
        let answer = send(&router, "POST", "/whep/live", &headers, "").await;
        assert_eq!(answer.status, status, "{token}");
    }
}
