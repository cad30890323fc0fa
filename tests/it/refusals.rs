//! Requests that make no sense, over real HTTP: a clear refusal, and the server goes on.

use reqwest::header::{CONTENT_TYPE, IF_MATCH};
use reqwest::{Client, Method, Response, StatusCode};

use crate::fan_out::broadcast_to;
use crate::support::broadcast::Broadcast;
use crate::support::peer::{Options, Peer, Session};
use crate::support::server::Server;

const SDP: &str = "application/sdp";

async fn post(
    server: &Server,
    path: &str,
    content_type: &str,
    body: impl Into<reqwest::Body>,
) -> Response {
    let request = Client::new().post(server.url(path));
    request
        .header(CONTENT_TYPE, content_type)
        .body(body)
        .send()
        .await
        .unwrap()
}

/// Checks that a response is a refusal as RFC 9457 has it; returns its explanation.
async fn refused(response: Response, status: StatusCode) -> String {
    assert_eq!(response.status(), status);
    let content_type = response.headers()[CONTENT_TYPE]
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(content_type, "application/problem+json");
    let text = response.text().await.unwrap();
    let problem: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(problem["status"], status.as_u16());
    let detail = problem["detail"].as_str().unwrap();
    assert!(!detail.is_empty() && detail.len() < 1_000, "{detail}");
    detail.to_owned()
}

/// Whether a publisher and a subscriber still find each other.
async fn goes_on(server: &Server) {
    let mut publisher = Peer::publish(&server.whip("after"), None).await;
    let subscriber = Peer::subscribe(&server.whep("after"), None).await;
    let mut broadcast = Broadcast::new(publisher.video());
    broadcast_to(&mut publisher, &mut broadcast, vec![subscriber], 5).await;
    assert_eq!(publisher.delete().await, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_offers() {
    let server = Server::start(|_| {}).await;
    let good = Options::publisher().offer(&"AA:".repeat(32)[..95]);
    let broken = [
        String::new(),
        "hello".to_owned(),
        "{\"sdp\": \"v=0\"}".to_owned(),
        "v=0\r\n".to_owned(),
        good.replace("m=video", "m=\u{0}"),
        good.replace("a=ice-ufrag:peer", "a=ice-ufrag:"),
        good.replace("a=fingerprint:sha-256 AA", "a=fingerprint:sha-256 ZZ"),
        good.replace("a=setup:actpass", "a=setup:sideways"),
        good.replace(
            "a=rtpmap:102 H264/90000",
            "a=rtpmap:102 H264/99999999999999999999",
        ),
    ];
    for (index, offer) in broken.into_iter().enumerate() {
        let response = post(&server, "/whip/demo", SDP, offer).await;
        let status = response.status();
        assert!(
            status == StatusCode::BAD_REQUEST || status == StatusCode::UNPROCESSABLE_ENTITY,
            "{index}: {status}"
        );
        refused(response, status).await;
    }
    // Bytes that are no text at all.
    let response = post(&server, "/whip/demo", SDP, vec![0xFF; 500]).await;
    refused(response, StatusCode::BAD_REQUEST).await;
    goes_on(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offers_that_are_too_large() {
    let server = Server::start(|_| {}).await;
    let whole = vec![b'a'; 10 << 20];
    let response = post(&server, "/whip/demo", SDP, whole.clone()).await;
    refused(response, StatusCode::PAYLOAD_TOO_LARGE).await;
    // The same without its size told before.
    let chunks = whole
        .chunks(64 << 10)
        .map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec()));
    let chunks: Vec<_> = chunks.collect();
    let body = reqwest::Body::wrap(http_body_util::StreamBody::new(futures_util::stream::iter(
        chunks
            .into_iter()
            .map(|chunk| chunk.map(|chunk| hyper::body::Frame::data(bytes::Bytes::from(chunk)))),
    )));
    let response = post(&server, "/whip/demo", SDP, body).await;
    refused(response, StatusCode::PAYLOAD_TOO_LARGE).await;
    goes_on(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offers_with_ten_thousand_media_sections() {
    let server = Server::start(|settings| {
        settings.limits.sdp_bytes = 1 << 20;
        settings.limits.body_bytes = 1 << 20;
    })
    .await;
    let good = Options::publisher().offer(&"AA:".repeat(32)[..95]);
    let many = good + &"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:x\r\n".repeat(10_000);
    for path in ["/whip/demo", "/whep/demo"] {
        let response = post(&server, path, SDP, many.clone()).await;
        let detail = refused(response, StatusCode::BAD_REQUEST).await;
        assert!(detail.contains("m-lines"), "{detail}");
    }
    goes_on(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_types_that_are_not_sdp() {
    let server = Server::start(|_| {}).await;
    let offer = Options::publisher().offer(&"AA:".repeat(32)[..95]);
    for content_type in [
        "text/plain",
        "application/json",
        "application/sdp-not",
        "\"",
        "",
    ] {
        let response = post(&server, "/whip/demo", content_type, offer.clone()).await;
        assert_eq!(response.headers()["accept-post"], SDP);
        refused(response, StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
    }
    goes_on(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_do_not_exist() {
    let server = Server::start(|_| {}).await;
    let publisher = Peer::publish(&server.whip("demo"), None).await;
    let id = publisher.session.url.rsplit('/').next().unwrap().to_owned();
    let unknown = [
        format!("/whip/demo/{}", "0".repeat(32)),
        "/whip/demo/x".to_owned(),
        format!("/whip/demo/{id}0"),
        // A session of another protocol, and of another stream.
        format!("/whep/demo/{id}"),
        format!("/whip/other/{id}"),
    ];
    for path in &unknown {
        for method in [Method::DELETE, Method::PATCH, Method::GET] {
            let request = Client::new()
                .request(method, server.url(path))
                .header(CONTENT_TYPE, "application/trickle-ice-sdpfrag")
                .header(IF_MATCH, "*")
                .body("a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n");
            refused(request.send().await.unwrap(), StatusCode::NOT_FOUND).await;
        }
    }
    assert!(publisher.session.exists().await);
    goes_on(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_do_not_exist_or_have_no_name() {
    let server = Server::start(|_| {}).await;
    let options = Options::subscriber();
    let offline = Session::create(&server.whep("nobody"), None, &options)
        .await
        .err()
        .unwrap();
    assert_eq!(offline.status, StatusCode::CONFLICT);
    assert_eq!(offline.content_type, "application/problem+json");
    for name in ["%20", ".hidden", "a%2Fb", "%FF", &"x".repeat(65)] {
        let refused = Session::create(&server.whip(name), None, &Options::publisher()).await;
        assert_eq!(
            refused.err().unwrap().status,
            StatusCode::BAD_REQUEST,
            "{name}"
        );
    }
    goes_on(&server).await;
}
