//! `tidegate check network` as a script sees it.

use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;
use tidegate::network::stun;

use crate::support::server::Server;

/// Runs the check with these variables; what it printed, and its exit status.
fn check(variables: &[(&str, &str)]) -> (Value, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["check", "network", "--json"])
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let json = serde_json::from_slice(&output.stdout);
    let json = json.unwrap_or_else(|error| {
        let text = String::from_utf8_lossy(&output.stdout);
        let log = String::from_utf8_lossy(&output.stderr);
        panic!("{error} in what it printed:\n{text}\n{log}")
    });
    (json, output.status.code())
}

/// The findings of one check, as `status subject: text`.
fn of(json: &Value, check: &str) -> Vec<String> {
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let findings = json["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| finding["check"] == check)
        .map(|finding| {
            let (status, subject) = (text(finding, "status"), text(finding, "subject"));
            format!("{status} {subject}: {}", text(finding, "text"))
        })
        .collect()
}

#[test]
fn a_machine_with_free_ports_passes() {
    let (json, status) = check(&[("TIDEGATE_LISTEN", "127.0.0.1:0")]);
    assert_eq!(status, Some(0), "{json:#}");
    assert_eq!(json["passed"], true);
    for (name, expected) in [
        ("listen.tcp", "ok TCP 127.0.0.1:"),
        ("listen.udp", "ok UDP 127.0.0.1:"),
        ("address", "ok 127.0.0.1:"),
        ("reach.udp", "ok UDP 127.0.0.1:"),
        ("reach.tcp", "ok TCP 127.0.0.1:"),
    ] {
        let found = of(&json, name);
        assert!(
            matches!(&found[..], [one] if one.starts_with(expected)),
            "{name}: {json:#}"
        );
    }
    for name in ["receive_buffer", "send_buffer", "gso", "open_files", "ipv6"] {
        assert_eq!(of(&json, name).len(), 1, "{name}: {json:#}");
    }
}

#[test]
fn a_port_that_somebody_else_has_fails_and_says_how_to_find_them() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let variables = [
        ("TIDEGATE_LISTEN", "127.0.0.1:0"),
        ("TIDEGATE_MEDIA_LISTEN", &address.to_string()),
    ];
    let (json, status) = check(&variables);
    assert_eq!(status, Some(1), "{json:#}");
    let found = of(&json, "listen.udp");
    assert!(
        found[0].starts_with(&format!("fail UDP {address}: ")),
        "{found:?}"
    );
    let remedy = json["findings"].as_array().unwrap().iter();
    let remedy = remedy.filter_map(|finding| finding["remedy"].as_str());
    let wanted = format!("ss -lpn 'sport = :{}'", address.port());
    assert!(
        remedy.into_iter().any(|text| text.contains(&wanted)),
        "{json:#}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_runs_is_asked_and_left_as_it_was() {
    let server = Server::start(|settings| settings.media.tcp = false).await;
    let listen = server.http.to_string();
    let (json, status) = tokio::task::spawn_blocking(move || {
        check(&[
            ("TIDEGATE_LISTEN", listen.as_str()),
            ("TIDEGATE_MEDIA_TCP", "false"),
        ])
    })
    .await
    .unwrap();
    assert_eq!(status, Some(0), "{json:#}");
    assert_eq!(
        of(&json, "listen.tcp"),
        [format!(
            "ok TCP {}: a gateway runs here and is asked",
            server.http
        )]
    );
    let reach = of(&json, "reach.udp");
    assert!(reach[0].contains("answered in"), "{reach:?}");
    assert!(of(&json, "reach.tcp").is_empty());
    let streams = reqwest::get(server.url("/streams")).await.unwrap();
    assert_eq!(streams.text().await.unwrap(), "[]");
}

#[test]
fn the_stun_server_and_names_are_shown_with_what_they_tell() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = socket.local_addr().unwrap().to_string();
    // Ends with the process, as it may still wait for a question when the test is over.
    thread::spawn(move || {
        let mut datagram = [0; 1_500];
        while let Ok((length, from)) = socket.recv_from(&mut datagram) {
            if let Some(answer) = stun::answer(&datagram[..length], from) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    let (json, _) = check(&[
        ("TIDEGATE_LISTEN", "127.0.0.1:0"),
        ("TIDEGATE_MEDIA_STUN", &server),
    ]);
    let found = of(&json, "stun");
    assert!(
        found[0].starts_with(&format!("ok STUN {server}: sees 127.0.0.1:")),
        "{found:?}"
    );
    assert!(found[0].ends_with(": no NAT"), "{found:?}");

    let (json, _) = check(&[
        ("TIDEGATE_LISTEN", "127.0.0.1:0"),
        ("TIDEGATE_MEDIA_ADDRESSES", "localhost"),
    ]);
    let found = of(&json, "address");
    assert!(
        found[0].contains("localhost, from `media.addresses`"),
        "{found:?}"
    );
    let (json, status) = check(&[
        ("TIDEGATE_LISTEN", "127.0.0.1:0"),
        ("TIDEGATE_MEDIA_ADDRESSES", "does-not-exist.invalid"),
    ]);
    assert_eq!(status, Some(1), "{json:#}");
    assert!(of(&json, "address.name")[0].starts_with("fail does-not-exist.invalid: "));
}

#[test]
fn wrong_settings_are_a_finding() {
    let (json, status) = check(&[("TIDEGATE_LISTEN", "8080")]);
    assert_eq!(status, Some(1));
    assert!(
        of(&json, "settings")[0].contains("`listen` is \"8080\""),
        "{json:#}"
    );
}
