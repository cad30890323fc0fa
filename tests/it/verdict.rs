//! What is wrong with a publisher is told where its operator looks: the answer, the API, the metrics.

use serde_json::Value;

use crate::lifetime::until;
use crate::support::broadcast::{Broadcast, Rtp};
use crate::support::peer::Peer;
use crate::support::server::Server;

/// The beginning of a slice that is predicted from both directions.
const B_SLICE: [u8; 2] = [0x01, 0xA0];

async fn text(server: &Server, path: &str) -> String {
    let response = reqwest::get(server.url(path)).await.unwrap();
    response.text().await.unwrap()
}

#[tokio::test]
async fn a_defect_is_found_and_told() {
    let server = Server::start(|_| {}).await;
    let mut publisher = Peer::publish(&server.whip("demo"), None).await;
    let mut viewer = Peer::subscribe(&server.whep("demo"), None).await;
    let mut broadcast = Broadcast::new(publisher.video());
    let mut detail = Value::Null;
    until("the finding", async || {
        for packet in broadcast.frame() {
            let mut rtp = Rtp::read(&packet);
            if rtp.payload[0] == 0x41 {
                rtp.payload[..2].copy_from_slice(&B_SLICE);
            }
            publisher.send_rtp(&rtp.write()).await;
        }
        detail = serde_json::from_str(&text(&server, "/streams/demo").await).unwrap();
        let findings = detail["publishers"][0]["findings"].as_array();
        findings.is_some_and(|found| found.iter().any(|found| found["defect"] == "b_frames"))
    })
    .await;
    let publisher = &detail["publishers"][0];
    assert_eq!(publisher["state"], "flowing", "{detail}");
    let video = publisher["layers"].as_array().unwrap().iter();
    let video: Vec<_> = video.filter(|layer| layer["video"].is_object()).collect();
    assert!(video[0]["packets"].as_u64() > Some(4), "{detail}");
    viewer.recv_rtp().await;
    until("a count of what was sent", async || {
        let metrics = text(&server, "/metrics").await;
        let is_there = |series: &str| metrics.lines().any(|line| line.starts_with(series));
        assert!(is_there(
            "tidegate_publisher_finding{stream=\"demo\",priority=\"100\",track="
        ));
        assert!(metrics.ends_with("# EOF\n"));
        let sent = "tidegate_stream_delay_seconds_count{stream=\"demo\"} ";
        let count = metrics.lines().find_map(|line| line.strip_prefix(sent));
        count.is_some_and(|count| count != "0")
    })
    .await;
    server.stop().await.unwrap();
}
