//! Against a server that plays back canned answers and records what it was asked.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;

const ANSWER: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";

/// Answers one request per canned answer, then returns the requests.
struct Mock {
    port: u16,
    requests: JoinHandle<Vec<String>>,
}

impl Mock {
    async fn start(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = tokio::spawn(async move {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                stream.write_all(answer.as_bytes()).await.unwrap();
                requests.push(request);
            }
            requests
        });
        Self { port, requests }
    }

    fn endpoint(&self, token: Option<&str>) -> Endpoint {
        Endpoint::new(&format!("http://127.0.0.1:{}/whip/demo", self.port), token).unwrap()
    }

    async fn requests(self) -> Vec<String> {
        self.requests.await.unwrap()
    }
}

/// A request with its whole body.
pub(crate) async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !is_complete(&request) {
        assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
    }
    String::from_utf8(request).unwrap()
}

fn is_complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    body.len() >= length
}

/// A whole response, after which the connection closes.
pub(crate) fn response(status: &str, headers: &[&str], body: &str) -> String {
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
}

fn created(location: &str) -> String {
    let location = format!("Location: {location}");
    let headers = ["Content-Type: application/sdp", "ETag: \"g1\"", &location];
    response("201 Created", &headers, ANSWER)
}

#[tokio::test]
async fn an_offer_becomes_a_session_that_can_be_ended() {
    let mock = Mock::start(vec![created("../session/abc"), response("200 OK", &[], "")]).await;
    let session = mock
        .endpoint(Some("t0ken"))
        .create("v=0\r\noffer".to_owned())
        .await
        .unwrap();
    assert_eq!(session.answer, ANSWER);
    assert_eq!(session.url.path(), "/session/abc");
    assert_eq!(session.etag.as_deref(), Some("\"g1\""));
    session.delete().await.unwrap();

    let requests = mock.requests().await;
    assert!(requests[0].starts_with("POST /whip/demo "));
    assert!(
        requests[0]
            .to_lowercase()
            .contains("content-type: application/sdp")
    );
    assert!(requests[0].ends_with("v=0\r\noffer"));
    assert!(requests[1].starts_with("DELETE /session/abc "));
    for request in requests {
        assert!(
            request.contains("Bearer t0ken"),
            "each request carries the token"
        );
    }
}

#[tokio::test]
async fn a_redirect_keeps_method_offer_and_token() {
    let other = Mock::start(vec![created("/session/far")]).await;
    let there = format!("Location: http://127.0.0.1:{}/whip/moved", other.port);
    let mock = Mock::start(vec![response("307 Temporary Redirect", &[&there], "")]).await;
    let session = mock
        .endpoint(Some("t0ken"))
        .create("v=0\r\noffer".to_owned())
        .await
        .unwrap();
    assert_eq!(
        session.url.port(),
        Some(other.port),
        "Location is resolved where the session is"
    );
    let requests = other.requests().await;
    assert!(requests[0].starts_with("POST /whip/moved "));
    assert!(requests[0].contains("Bearer t0ken"));
    assert!(requests[0].ends_with("offer"));
}

#[tokio::test]
async fn a_circle_of_redirects_ends() {
    let answers =
        vec![response("307 Temporary Redirect", &["Location: /whip/demo"], ""); MAX_REDIRECTS + 1];
    let mock = Mock::start(answers).await;
    let error = mock.endpoint(None).create(String::new()).await.unwrap_err();
    assert!(matches!(error, SignallingError::Redirects), "{error}");
}

#[tokio::test]
async fn a_refusal_shows_the_detail_and_not_the_token() {
    let body = r#"{"title":"Unauthorized","detail":"the token has expired; ask for a new one"}"#;
    let headers = ["Content-Type: application/problem+json", "Retry-After: 3"];
    let mock = Mock::start(vec![response("401 Unauthorized", &headers, body)]).await;
    let endpoint = mock.endpoint(Some("t0ken"));
    let error = endpoint.create("v=0\r\n".to_owned()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server answered 401: the token has expired; ask for a new one"
    );
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
    assert!(!format!("{error:?} {endpoint:?}").contains("t0ken"));
}

#[tokio::test]
async fn a_session_that_has_ended_already_counts_as_ended() {
    let mock = Mock::start(vec![
        created("/session/x"),
        response("404 Not Found", &[], ""),
    ])
    .await;
    let session = mock
        .endpoint(None)
        .create("v=0\r\n".to_owned())
        .await
        .unwrap();
    session.delete().await.unwrap();
}

#[tokio::test]
async fn a_page_instead_of_an_answer_is_an_error_and_its_session_is_ended() {
    let page = response(
        "201 Created",
        &["Content-Type: text/html", "Location: /s"],
        "<html>",
    );
    let mock = Mock::start(vec![page, response("200 OK", &[], "")]).await;
    let error = mock
        .endpoint(None)
        .create("v=0\r\n".to_owned())
        .await
        .unwrap_err();
    assert!(matches!(error, SignallingError::NotSdp), "{error}");
    assert!(mock.requests().await[1].starts_with("DELETE /s "));
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let headers = ["Content-Type: application/sdp", "Location: /s"];
    let long = response("201 Created", &headers, &"v=0\r\n".repeat(MAX_BODY));
    let mock = Mock::start(vec![long]).await;
    let error = mock
        .endpoint(None)
        .create("v=0\r\n".to_owned())
        .await
        .unwrap_err();
    assert!(matches!(error, SignallingError::Broken { .. }), "{error}");
    mock.requests.abort();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_with_the_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let endpoint = Endpoint::new(
        &format!("http://127.0.0.1:{port}/whip/secret?key=hush"),
        None,
    )
    .unwrap();
    let shown = endpoint
        .create(String::new())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        shown.contains(&format!("http://127.0.0.1:{port}:")),
        "{shown}"
    );
    assert!(shown.contains("refused"), "{shown}");
    assert!(!shown.contains("hush"), "{shown}");
}

#[tokio::test]
async fn loopback_hosts_are_known_as_such() {
    let loopback = async |url| Endpoint::new(url, None).unwrap().loopback().await;
    let v4 = IpAddr::from([127, 0, 0, 1]);
    assert_eq!(loopback("http://127.0.0.1:1/").await, [v4]);
    assert!(loopback("http://localhost:1/").await.contains(&v4));
    // Nothing on a machine without IPv6.
    assert!(!loopback("http://[::1]:1/").await.contains(&v4));
    assert!(loopback("http://192.0.2.1/").await.is_empty());
}

#[test]
fn no_proxy_is_asked_for_a_server_on_this_machine() {
    let here = |url| is_here(&Url::parse(url).unwrap());
    for url in [
        "http://LOCALHOST:1/",
        "http://127.0.0.2/",
        "http://[::1]:1/",
    ] {
        assert!(here(url), "{url}");
    }
    for url in ["http://192.0.2.1/", "https://localhost.example/"] {
        assert!(!here(url), "{url}");
    }
}

#[test]
fn only_http_urls_are_taken() {
    assert!(matches!(
        Endpoint::new("demo", None),
        Err(SignallingError::Url { .. })
    ));
    assert!(matches!(
        Endpoint::new("ftp://a/b", None),
        Err(SignallingError::Scheme)
    ));
    assert!(matches!(
        Endpoint::new("http://a/", Some("a\nb")),
        Err(SignallingError::Token)
    ));
}
