//! Requests that no HTTP library sends, over a bare TCP or TLS connection.
//!
//! They never carry the token, as the server's certificate is not looked at here: they ask what the
//! server does with a broken request, and say nothing worth protecting.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::USER_AGENT;
use super::evidence::{Exchange, Response, Unanswered};

/// The longest head of an answer that is read, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// A GET of HTTP/1.1 without `Host`.
pub(super) async fn without_host(url: &Url, limit: Duration) -> Exchange {
    let head = format!(
        "GET {} HTTP/1.1\r\nUser-Agent: {USER_AGENT}\r\nConnection: close\r\n\r\n",
        target(url)
    );
    exchange(url, &head, limit).await
}

/// The head of a POST whose body waits for `100 Continue`, which never follows.
pub(super) async fn expect_continue(url: &Url, limit: Duration) -> Exchange {
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {USER_AGENT}\r\nContent-Type: application/sdp\r\n\
         Content-Length: 1000\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
        target(url),
        authority(url),
    );
    exchange(url, &head, limit).await
}

fn target(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

async fn exchange(url: &Url, head: &str, limit: Duration) -> Exchange {
    let answer = timeout(limit, connect_and_ask(url, head)).await;
    match answer {
        Ok(Ok(Some((status, headers)))) => Ok(Response {
            status,
            headers,
            body: Vec::new(),
            url: url.clone(),
        }),
        Ok(Ok(None)) => Err(Unanswered("the connection was closed".to_owned())),
        Ok(Err(error)) => Err(Unanswered(format!("no answer: {error}"))),
        Err(_) => Err(Unanswered("no answer in time".to_owned())),
    }
}

async fn connect_and_ask(url: &Url, head: &str) -> std::io::Result<Option<(u16, HeaderMap)>> {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(80);
    let stream = TcpStream::connect((host, port)).await?;
    if url.scheme() != "https" {
        return ask(stream, head).await;
    }
    let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config()?));
    ask(connector.connect(name, stream).await?, head).await
}

async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    head: &str,
) -> std::io::Result<Option<(u16, HeaderMap)>> {
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") && answer.len() < MAX_HEAD {
        match stream.read(&mut buffer).await? {
            0 => break,
            len => answer.extend_from_slice(&buffer[..len]),
        }
    }
    Ok(parse(&String::from_utf8_lossy(&answer)))
}

/// The status and header of an answer.
fn parse(answer: &str) -> Option<(u16, HeaderMap)> {
    let mut lines = answer.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?;
    let status = status.split(' ').nth(1)?.parse().ok()?;
    let fields = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            let name = name.parse::<HeaderName>().ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name, value);
    }
    Some((status, headers))
}

fn config() -> std::io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let schemes = provider
        .signature_verification_algorithms
        .supported_schemes();
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone { schemes }))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Takes any certificate: see the head of the file.
#[derive(Debug)]
struct Anyone {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_an_answer_is_read() {
        let (status, headers) =
            parse("HTTP/1.1 400 Bad Request\r\nAllow: GET\r\nX: y\r\n\r\nbody: no").unwrap();
        assert_eq!(status, 400);
        assert_eq!(headers["allow"], "GET");
        assert_eq!(headers.len(), 2);
        assert!(parse("HTTP/1.1 100 Continue\r\n\r\n").is_some());
        for broken in ["", "SSH-2.0", "HTTP/1.1", "HTTP/1.1 abc"] {
            assert!(parse(broken).is_none(), "{broken}");
        }
    }

    #[test]
    fn a_url_is_asked_for_with_its_query() {
        let url = Url::parse("http://a:81/whip/x?k=1").unwrap();
        assert_eq!(
            (target(&url), authority(&url)),
            ("/whip/x?k=1".to_owned(), "a:81".to_owned())
        );
    }
}
