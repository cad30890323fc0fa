//! What operators and broadcasters read: the stream in full, and the metrics.

use super::access::tokens;
use super::{OFFER, Row, SDP, app, check_all, open_app};
use crate::http::{Settings, Tokens};

const LIVE: (&str, &str) = ("authorization", "Bearer live");
const OTHER: (&str, &str) = ("authorization", "Bearer other");
const SCRAPE: (&str, &str) = ("authorization", "Bearer scrape");
const LOCALHOST: (&str, &str) = ("host", "localhost:8080");
const ELSEWHERE: (&str, &str) = ("host", "evil.example:8080");
const REMOTE: (&str, &str) = ("x-forwarded-for", "192.0.2.7");

#[tokio::test]
async fn a_stream_is_told_in_full() {
    let rows = [
        Row::new("the stream", "GET", "/streams/live", 200)
            .answers(&[
                ("content-type", "application/json"),
                ("cache-control", "no-store"),
            ])
            .holds(&[
                "\"subscribers\":2",
                "\"findings\":[{\"defect\":\"b_frames\",",
                "\"frame_rate\":30.0",
                "\"jitter_ms\":2.0",
                "\"message\":\"B-frames: 50 % of the frames, each shown ahead of up to 1",
                "\"obs\":\"Settings > Output",
                "\"delivery\":{\"packets\":0,",
                "\"links\":{\"measured\":0,\"limited\":0,\"bitrate_p5\":null,\"bitrate_p50\":null}",
                "\"layer\":0,\"subscribers\":0,\"within\":[{\"layer\":0,\"temporal\":1,\"bitrate\":500000,",
                "{\"layer\":5,\"temporal\":0,\"bitrate\":500000,\"width\":null,\"height\":null,\"subscribers\":0}]",
                "\"hls\":{\"cpu_seconds\":{\"segments\":0.0,\"aac\":0.0,\"ladder\":1.25},",
                "\"ladder\":{\"rungs\":2,\"pictures\":0,\"waiting_pictures\":0,\"failures\":1}",
            ]),
        Row::new("nobody publishes it", "GET", "/streams/nobody", 404)
            .answers(&[("retry-after", "2")])
            .holds(&["nobody publishes nobody now"]),
        Row::new("no name", "GET", "/streams/a%20b", 400),
    ];
    check_all(&open_app(), &rows).await;
}

#[tokio::test]
async fn a_stream_is_told_to_who_plays_or_publishes_it() {
    let mut publishing = tokens();
    let only = publishing.play.one_stream.remove(&"live".parse().unwrap());
    publishing.play.every_stream = only.unwrap();
    publishing
        .publish
        .one_stream
        .insert("live".parse().unwrap(), vec!["scrape".parse().unwrap()]);
    let rows = [
        Row::new("with nothing", "GET", "/streams/live", 401),
        Row::new("to play", "GET", "/streams/live", 200)
            .with(&[LIVE])
            .holds(&["b_frames"]),
        Row::new("to publish", "GET", "/streams/live", 200)
            .with(&[SCRAPE])
            .holds(&["b_frames"]),
        Row::new("for another", "GET", "/streams/live", 403).with(&[OTHER]),
    ];
    check_all(&app(publishing, Settings::default()), &rows).await;
}

#[tokio::test]
async fn the_metrics_are_for_this_machine_or_their_token() {
    let rows = [
        Row::new("from here", "GET", "/metrics", 200)
            .with(&[LOCALHOST])
            .answers(&[
                ("content-type", "application/openmetrics-text"),
                ("cache-control", "no-store"),
            ])
            .holds(&[
                "# TYPE tidegate_shard_sent counter",
                "tidegate_shard_sent_total{shard=\"1\"} 0",
                "tidegate_stream_subscribers{stream=\"live\"} 2",
                "tidegate_stream_delay_seconds_bucket{le=\"+Inf\",stream=\"live\"} 0",
                "tidegate_ingest_frames_per_second{stream=\"live\",priority=\"100\",track=\"1\",layer=\"0\",codec=\"H264\"} 30",
                "tidegate_publisher_finding{stream=\"live\",priority=\"100\",track=\"1\",layer=\"0\",defect=\"b_frames\"} 1",
                "tidegate_stream_layer_subscribers{stream=\"live\",track=\"1\",layer=\"0\"} 0",
                "tidegate_stream_layer_subscribers{stream=\"live\",track=\"1\",layer=\"5\"} 0",
                "tidegate_hls_cpu_seconds_total{stream=\"live\",work=\"ladder\"} 1.25",
                "tidegate_hls_ladder_rungs{stream=\"live\"} 2",
                "tidegate_hls_ladder_failures_total{stream=\"live\"} 1",
                "tidegate_hls_dvr_bytes 2000",
                "tidegate_hls_dvr_segments 20",
                "tidegate_hls_dvr_failures_total 1",
                "process_resident_memory_bytes ",
                "# EOF\n",
            ]),
        Row::new("from afar", "GET", "/metrics", 403)
            .with(&[REMOTE])
            .holds(&["auth.metrics_token"]),
    ];
    check_all(&open_app(), &rows).await;
    let tokens = Tokens {
        metrics: Some("scrape".parse().unwrap()),
        ..tokens()
    };
    let rows = [
        Row::new("without the token", "GET", "/metrics", 401)
            .answers(&[("www-authenticate", "Bearer")]),
        Row::new("with another", "GET", "/metrics", 401).with(&[LIVE]),
        Row::new("with it", "GET", "/metrics", 200)
            .with(&[SCRAPE, REMOTE])
            .holds(&["# EOF"]),
    ];
    check_all(&app(tokens, Settings::default()), &rows).await;
}

/// A page of another site may let its name lead here, and then asks its own origin.
#[tokio::test]
async fn what_is_for_this_machine_is_not_told_to_who_asks_by_another_name() {
    let rows = [
        Row::new("another name", "GET", "/metrics", 403)
            .with(&[ELSEWHERE])
            .holds(&["localhost", "auth.metrics_token"]),
        Row::new("another name", "HEAD", "/metrics", 403).with(&[ELSEWHERE]),
        Row::new("no name", "GET", "/metrics", 403).with(&[("host", "[")]),
        Row::new("an address of another machine", "GET", "/metrics", 403)
            .with(&[("host", "192.0.2.9")]),
        Row::new("an address", "GET", "/metrics", 200)
            .with(&[("host", "127.0.0.1:8080")])
            .holds(&["# EOF"]),
        Row::new("an address of IPv6", "GET", "/metrics", 200)
            .with(&[("host", "[::1]:8080")])
            .holds(&["# EOF"]),
        Row::new("this machine's address", "GET", "/metrics", 200)
            .with(&[("host", "192.0.2.1"), ("test-own-address", "yes")])
            .holds(&["# EOF"]),
        Row::new("our own page", "GET", "/metrics", 200)
            .with(&[LOCALHOST, ("origin", "http://localhost:8080")])
            .holds(&["# EOF"]),
        Row::new("a page of another site", "GET", "/metrics", 403)
            .with(&[LOCALHOST, ("origin", "http://evil.example:8080")]),
    ];
    check_all(&open_app(), &rows).await;
    let tokens = Tokens {
        play: tokens().play,
        ..Tokens::default()
    };
    let rows = [
        Row::new("another name", "GET", "/streams/live", 401).with(&[ELSEWHERE]),
        Row::new("to publish", "GET", "/streams/live", 200)
            .with(&[LOCALHOST])
            .holds(&["b_frames"]),
    ];
    check_all(&app(tokens, Settings::default()), &rows).await;
}

#[tokio::test]
async fn a_publisher_is_told_what_its_offer_lacks() {
    let rows = [
        Row::new("a notice", "POST", "/whip/live", 201)
            .with(&[SDP])
            .body(OFFER)
            .answers(&[("tidegate-notice", "no_repair: ")])
            .holds(&["v=0"]),
        Row::new("viewers get none", "POST", "/whep/live", 201)
            .with(&[SDP])
            .body(OFFER)
            .answers(&[("tidegate-notice", "")])
            .holds(&["v=0"]),
    ];
    check_all(&open_app(), &rows).await;
}
