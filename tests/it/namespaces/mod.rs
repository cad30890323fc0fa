//! Real programs in networks as they are out there: behind NATs that forget, with IPv6 only.
//!
//! As root these run with the others; elsewhere they are skipped, and a line says why. A network is put together
//! with [`internet::Internet`]:
//!
//! ```text
//! viewer 10.1.0.2 --- 10.1.0.1 home 203.0.113.2 --- 203.0.113.1 server
//! ```

mod internet;

use serde_json::Value;

use internet::{Host, Internet, Program};

const TOKEN: &str = "network-test";

/// A gateway on a host, and what it logs.
struct Gateway {
    program: Program,
    /// What the host is called in URLs.
    host: String,
}

impl Gateway {
    /// `variables` are further settings.
    fn start(on: &Host, host: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = on.command(env!("CARGO_BIN_EXE_tidegate"));
        command
            .args(["serve", "--shards", "1", "--publish-token", TOKEN])
            .envs(variables.iter().copied())
            .env("TIDEGATE_HLS_ENABLED", "false")
            .env("TIDEGATE_LOG_FILTER", "warn,tidegate=debug");
        let mut program = on.start(&mut command);
        program.wait_for("gateway", |line| line.contains("WHIP endpoint"));
        Self {
            program,
            host: host.to_owned(),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}:8080/{path}/demo", self.host)
    }

    /// A small test broadcast from `on`, once it is live.
    fn publish_from(&mut self, on: &Host) -> Program {
        let broadcast = on.tidegate(&[
            "publish",
            "--url",
            &self.url("whip"),
            "--token",
            TOKEN,
            "--codec",
            "vp8",
            "--size",
            "160x90",
            "--fps",
            "15",
            "--bitrate",
            "150k",
            "--keyframe-interval",
            "1s",
        ]);
        self.program
            .wait_for("live stream", |line| line.contains("the stream is live"));
        broadcast
    }

    /// A viewer on `on`, once media flows.
    fn watch_from(&self, on: &Host, seconds: &str) -> Program {
        let mut viewer =
            on.tidegate(&["watch", &self.url("whep"), "--json", "--duration", seconds]);
        viewer.wait_for("picture", |line| line.contains("frames/s"));
        viewer
    }

    /// Ends it. How many publishers and subscribers it has seen.
    fn stop(self) -> (usize, usize) {
        let (status, _, log) = self.program.stop();
        assert_eq!(status, Some(0), "{log}");
        let count = |text| log.lines().filter(|line| line.contains(text)).count();
        (
            count("a publisher has come"),
            count("a subscriber has come"),
        )
    }
}

/// What a viewer saw of the picture.
#[derive(Debug)]
struct Seen {
    seconds: f64,
    longest_pause_ms: f64,
}

/// The end of a viewing that went well to its end.
fn seen(mut viewer: Program) -> Seen {
    let (status, json, log) = viewer.finish();
    assert_eq!(status, Some(0), "{json}\n{log}");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["ok"], true, "{json:#}");
    let tracks = json["tracks"].as_array().unwrap();
    let video = tracks
        .iter()
        .find(|track| track["kind"] == "video")
        .unwrap();
    Seen {
        seconds: json["duration_s"].as_f64().unwrap(),
        longest_pause_ms: video["longest_pause_ms"].as_f64().unwrap(),
    }
}

/// A client at home behind a NAT, and a server on the internet. The second is the router.
fn home(internet: &Internet, server: &Host) -> (Host, Host) {
    let (client, router) = (internet.host("client"), internet.router("home"));
    internet.connect((&client, "10.1.0.2/24"), (&router, "10.1.0.1/24"));
    internet.connect((&router, "203.0.113.2/24"), (server, "203.0.113.1/24"));
    client.route_by("10.1.0.1");
    router.masquerade("server");
    (client, router)
}

/// The NAT gets another address, and forgets what it had mapped.
fn rebind(router: &Host) {
    router.move_address("server", "203.0.113.2/24", "203.0.113.77/24", "203.0.113.1");
}

#[test]
fn a_viewer_behind_a_nat_that_rebinds_goes_on_without_a_new_session() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let server = internet.host("server");
    let (client, router) = home(&internet, &server);
    let mut gateway = Gateway::start(&server, "203.0.113.1", &[]);
    let _broadcast = gateway.publish_from(&server);
    let viewer = gateway.watch_from(&client, "12s");
    rebind(&router);
    let seen = seen(viewer);
    assert!(
        seen.seconds > 11.0 && seen.longest_pause_ms < 3_000.0,
        "{seen:?}"
    );
    assert_eq!(gateway.stop(), (1, 1));
}

#[test]
fn a_publisher_behind_a_nat_that_rebinds_goes_on_without_a_new_session() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let server = internet.host("server");
    let (client, router) = home(&internet, &server);
    let mut gateway = Gateway::start(&server, "203.0.113.1", &[]);
    let _broadcast = gateway.publish_from(&client);
    let viewer = gateway.watch_from(&server, "12s");
    rebind(&router);
    let seen = seen(viewer);
    assert!(
        seen.seconds > 11.0 && seen.longest_pause_ms < 3_000.0,
        "{seen:?}"
    );
    assert_eq!(gateway.stop(), (1, 1));
}

#[test]
fn two_nats_are_passed_with_the_address_that_a_stun_server_tells() {
    // client --- home --- internet --- office (forwards 8080) --- server
    let Some(internet) = Internet::with(&["turnserver"]) else {
        return;
    };
    let backbone = internet.router("internet");
    let (client, home) = (internet.host("client"), internet.router("home"));
    let (server, office) = (internet.host("server"), internet.router("office"));
    internet.connect((&client, "10.1.0.2/24"), (&home, "10.1.0.1/24"));
    internet.connect((&home, "203.0.113.2/24"), (&backbone, "203.0.113.1/24"));
    internet.connect((&server, "10.2.0.2/24"), (&office, "10.2.0.1/24"));
    internet.connect((&office, "198.51.100.2/24"), (&backbone, "198.51.100.1/24"));
    client.route_by("10.1.0.1");
    home.route_by("203.0.113.1");
    server.route_by("10.2.0.1");
    office.route_by("198.51.100.1");
    home.masquerade("internet");
    office.masquerade("internet");
    office.forward("internet", 8080, "10.2.0.2");

    let mut coturn = backbone.command("turnserver");
    coturn.args([
        "-n",
        "--listening-ip=198.51.100.1",
        "--stun-only",
        "--no-cli",
        "--log-file=stdout",
        "--pidfile=/dev/null",
        "--no-tls",
        "--no-dtls",
    ]);
    let mut coturn = backbone.start(&mut coturn);
    coturn.wait_for("STUN server", |line| line.contains("Total General servers"));

    let mut command = server.command(env!("CARGO_BIN_EXE_tidegate"));
    command
        .args(["check", "network", "--json"])
        .env("TIDEGATE_MEDIA_STUN", "198.51.100.1");
    let (_, json, log) = server.start(&mut command).finish();
    let json: Value = serde_json::from_str(&json).expect(&log);
    let findings = json["findings"].as_array().unwrap();
    let first = findings
        .iter()
        .find(|finding| finding["check"] == "address")
        .unwrap();
    assert_eq!(first["subject"], "198.51.100.2:8080", "{json:#}");
    let stun = findings
        .iter()
        .find(|finding| finding["check"] == "stun")
        .unwrap();
    assert!(
        stun["text"]
            .as_str()
            .unwrap()
            .contains("a NAT that keeps the port"),
        "{json:#}"
    );

    let mut gateway = Gateway::start(
        &server,
        "127.0.0.1",
        &[("TIDEGATE_MEDIA_STUN", "198.51.100.1")],
    );
    let _broadcast = gateway.publish_from(&server);
    gateway.host = "198.51.100.2".to_owned();
    let seen = seen(gateway.watch_from(&client, "3s"));
    assert!(seen.seconds > 2.0, "{seen:?}");
    assert_eq!(gateway.stop(), (1, 1));
}

#[test]
fn a_viewer_behind_two_nats_in_a_row_is_served() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let server = internet.host("server");
    let (client, home) = (internet.host("client"), internet.router("home"));
    let provider = internet.router("provider");
    internet.connect((&client, "10.1.0.2/24"), (&home, "10.1.0.1/24"));
    internet.connect((&home, "100.64.0.2/24"), (&provider, "100.64.0.1/24"));
    internet.connect((&provider, "203.0.113.2/24"), (&server, "203.0.113.1/24"));
    client.route_by("10.1.0.1");
    home.route_by("100.64.0.1");
    home.masquerade("provider");
    provider.masquerade("server");
    let mut gateway = Gateway::start(&server, "203.0.113.1", &[]);
    let _broadcast = gateway.publish_from(&server);
    let seen = seen(gateway.watch_from(&client, "3s"));
    assert!(seen.seconds > 2.0, "{seen:?}");
    assert_eq!(gateway.stop(), (1, 1));
}

#[test]
fn publisher_and_viewer_have_ipv6_only() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let (server, client) = (internet.host("server"), internet.host("client"));
    internet.connect((&server, "2001:db8::1/64"), (&client, "2001:db8::2/64"));
    let mut gateway = Gateway::start(&server, "[2001:db8::1]", &[]);
    let _broadcast = gateway.publish_from(&client);
    let seen = seen(gateway.watch_from(&client, "3s"));
    assert!(seen.seconds > 2.0, "{seen:?}");
    assert_eq!(gateway.stop(), (1, 1));
}
