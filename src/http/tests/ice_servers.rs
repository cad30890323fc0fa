//! STUN and TURN servers as clients are told of them: row E5, and the digest's part on ICE servers.

use super::*;
use crate::config::{IceLogin, IceServer, Secret};
use crate::http::Rules;

fn settings() -> Settings {
    let server = |urls: &[&str], login| IceServer {
        urls: urls.iter().map(|url| (*url).to_owned()).collect(),
        login,
    };
    let limited = IceLogin::Limited {
        secret: Secret::new("north"),
        lifetime: std::time::Duration::from_secs(3600),
    };
    Settings {
        ice_servers: vec![
            server(&["stun:a.example:3478"], None),
            server(
                &["turn:a.example:3478?transport=udp", "turns:a.example:443"],
                Some(limited),
            ),
        ],
        ..Settings::default()
    }
}

fn links(answer: &Answer) -> Vec<&str> {
    let links = answer.headers.get_all("link").iter();
    let links = links.map(|link| link.to_str().unwrap());
    links.filter(|link| link.contains("ice-server")).collect()
}

#[tokio::test]
async fn a_session_is_told_of_each_server_in_a_field_of_its_own() {
    let router = app(Tokens::default(), settings());
    for (path, offer) in [
        ("/whip/live", OFFER.to_owned()),
        ("/whep/live", OFFER.replace("sendonly", "recvonly")),
        ("/whep/live", String::new()),
    ] {
        let answer = send(&router, "POST", path, &[SDP], offer).await;
        let links = links(&answer);
        assert_eq!(links.len(), 3, "{path}: {links:?}");
        assert_eq!(links[0], "<stun:a.example:3478>; rel=\"ice-server\"");
        let turn = "<turn:a.example:3478?transport=udp>; rel=\"ice-server\"; username=\"";
        assert!(links[1].starts_with(turn), "{links:?}");
        assert!(links[1].ends_with("\"; credential-type=\"password\""));
        assert!(links[2].starts_with("<turns:a.example:443>; "));
    }
}

#[tokio::test]
async fn only_who_may_begin_is_told_before_and_no_preflight_ever() {
    let rules = || Rules {
        every_stream: vec!["all".parse().unwrap()],
        ..Rules::default()
    };
    let tokens = Tokens {
        publish: rules(),
        play: rules(),
        ..Tokens::default()
    };
    let router = app(tokens, settings());
    let token = ("authorization", "Bearer all");
    let preflight = [
        ("origin", "https://page.test"),
        ("access-control-request-method", "POST"),
    ];
    for path in ["/whip/live", "/whep/live"] {
        for (headers, count) in [
            (vec![token], 3),
            (vec![], 0),
            (vec![("authorization", "Bearer other")], 0),
            (preflight.to_vec(), 0),
            ([token].into_iter().chain(preflight).collect(), 0),
        ] {
            let answer = send(&router, "OPTIONS", path, &headers, "").await;
            assert!(answer.status.is_success());
            assert_eq!(links(&answer).len(), count, "{path} {headers:?}");
        }
    }
}

#[tokio::test]
async fn who_is_refused_is_told_of_nothing() {
    let router = app(Tokens::default(), settings());
    let answer = send(&router, "POST", "/whip/taken", &[SDP], OFFER).await;
    assert_eq!(answer.status, 409);
    assert!(answer.headers.get("link").is_none());
}
