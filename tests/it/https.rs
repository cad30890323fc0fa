//! HTTPS beside HTTP on one port: protocols, certificates, and what becomes of plain requests.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use reqwest::{Certificate, Client, StatusCode, Version, redirect};
use tidegate::config::{PlainHttp, TlsMode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::lifetime::until;
use crate::support::peer::PATIENCE;
use crate::support::server::Server;

/// A directory for the time of a test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("https-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Puts a new certificate into the place of the old one, key first.
    fn renew(&self) -> Certificate {
        let made = certificate();
        fs::write(self.path("key.pem"), made.signing_key.serialize_pem()).unwrap();
        fs::write(self.path("certificate.pem"), made.cert.pem()).unwrap();
        root(&made)
    }

    fn mode(&self) -> TlsMode {
        TlsMode::Files {
            certificate: self.path("certificate.pem"),
            key: self.path("key.pem"),
        }
    }

    async fn server(&self) -> Server {
        Server::start(|settings| settings.tls.mode = self.mode()).await
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn certificate() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap()
}

fn root(made: &CertifiedKey<KeyPair>) -> Certificate {
    Certificate::from_pem(made.cert.pem().as_bytes()).unwrap()
}

/// A client that believes this certificate only, and makes a connection for each request.
fn client(root: &Certificate) -> Client {
    Client::builder()
        .no_proxy()
        .tls_built_in_root_certs(false)
        .add_root_certificate(root.clone())
        .redirect(redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .build()
        .unwrap()
}

fn health(scheme: &str, server: &Server) -> String {
    format!("{scheme}://{}/healthz", server.http)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_version_of_http_is_served_on_one_port_with_tls_and_without() {
    let directory = Directory::new("versions");
    let root = directory.renew();
    let server = directory.server().await;
    let only_1 = Client::builder().no_proxy().http1_only();
    let only_1 = only_1.add_root_certificate(root.clone()).build().unwrap();
    let only_2 = Client::builder().no_proxy().http2_prior_knowledge();
    let only_2 = only_2.build().unwrap();
    for (client, scheme, version) in [
        (&client(&root), "https", Version::HTTP_2),
        (&only_1, "https", Version::HTTP_11),
        (&only_1, "http", Version::HTTP_11),
        (&only_2, "http", Version::HTTP_2),
    ] {
        let answer = client.get(health(scheme, &server)).send().await.unwrap();
        assert_eq!(answer.version(), version, "{scheme}");
        assert_eq!(answer.text().await.unwrap(), "ok\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_taken_without_dropping_a_connection_and_a_broken_one_is_not() {
    let directory = Directory::new("renewal");
    let first = directory.renew();
    let server = directory.server().await;
    let url = health("https", &server);
    let keeps = Client::builder().no_proxy().http1_only();
    let keeps = keeps.add_root_certificate(first.clone()).build().unwrap();
    let mut kept = keeps.get(&url).send().await.unwrap();
    let through = kept.remote_addr();
    assert!(kept.chunk().await.unwrap().is_some() && kept.chunk().await.unwrap().is_none());

    let second = directory.renew();
    until("the new certificate", async || {
        client(&second).get(&url).send().await.is_ok()
    })
    .await;
    assert!(client(&first).get(&url).send().await.is_err());
    // The client believes the old certificate only, so this is the old connection.
    let kept = keeps.get(&url).send().await.unwrap();
    assert_eq!(
        (kept.status(), kept.remote_addr()),
        (StatusCode::OK, through)
    );

    fs::write(directory.path("certificate.pem"), "no certificate").unwrap();
    let still = client(&second).get(&url).send().await;
    assert_eq!(still.unwrap().status(), StatusCode::OK);
    let third = directory.renew();
    until("the mended certificate", async || {
        client(&third).get(&url).send().await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_self_signed_certificate_is_the_same_after_a_restart() {
    let directory = Directory::new("self-signed");
    let start = async || {
        Server::start(|settings| {
            settings.tls.directory = directory.path("state");
            let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
            settings.tls.mode = TlsMode::SelfSigned { names: Some(names) };
        })
        .await
    };
    let server = start().await;
    let text = fs::read(directory.path("state/self-signed.crt")).unwrap();
    let client = client(&Certificate::from_pem(&text).unwrap());
    for server in [server, start().await] {
        let answer = client.get(health("https", &server)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        server.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_stops_halfway_keeps_nobody_out() {
    let directory = Directory::new("halfway");
    let root = directory.renew();
    let server = Server::start(|settings| {
        settings.tls.mode = directory.mode();
        settings.limits.opening_connections = 4;
        settings.limits.opening_connections_per_address = 4;
    })
    .await;
    let mut halfway = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(server.http).await.unwrap();
        let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
        stream.write_all(hello).await.unwrap();
        halfway.push(stream);
    }
    for scheme in ["https", "http"] {
        let answer = client(&root).get(health(scheme, &server)).send().await;
        assert_eq!(answer.unwrap().status(), StatusCode::OK, "{scheme}");
    }
    let mut end = [0; 1];
    let closed = tokio::time::timeout(PATIENCE, halfway[0].read(&mut end)).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_is_none_is_ended_at_once() {
    let directory = Directory::new("garbage");
    directory.renew();
    let server = Server::start(|settings| {
        settings.tls.mode = directory.mode();
        settings.limits.opening_timeout = 2 * PATIENCE;
    })
    .await;
    let mut stream = TcpStream::connect(server.http).await.unwrap();
    // A record of TLS, and in it no message of the handshake.
    let record = [&b"\x16\x03\x01\x00\x20"[..], &[0xff; 32]].concat();
    stream.write_all(&record).await.unwrap();
    let mut rest = Vec::new();
    let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    end.expect("the end").unwrap();
    // Nothing, or an alert and nothing else.
    assert!(rest.is_empty() || rest[0] == 21, "{rest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_requests_are_treated_as_configured() {
    let directory = Directory::new("plain");
    directory.renew();
    let stranger = own_address();
    if stranger.is_none() {
        eprintln!("not all of it: this machine has no address but loopback to ask from");
    }
    let here = IpAddr::from([127, 0, 0, 1]);
    for (plain, from, status) in [
        (PlainHttp::Serve, Some(here), StatusCode::OK),
        (PlainHttp::Redirect, Some(here), StatusCode::OK),
        (PlainHttp::Refuse, Some(here), StatusCode::FORBIDDEN),
        (PlainHttp::Serve, stranger, StatusCode::OK),
        (
            PlainHttp::Redirect,
            stranger,
            StatusCode::TEMPORARY_REDIRECT,
        ),
        (PlainHttp::Refuse, stranger, StatusCode::FORBIDDEN),
    ] {
        let Some(from) = from else { continue };
        let server = Server::start(|settings| {
            settings.tls.mode = directory.mode();
            settings.tls.plain_http = plain;
        })
        .await;
        let client = Client::builder().no_proxy().local_address(from);
        let client = client.redirect(redirect::Policy::none()).build().unwrap();
        let answer = client.get(health("http", &server)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{plain:?} {from}");
        if status.is_redirection() {
            let to = answer.headers()["location"].to_str().unwrap();
            assert_eq!(to, health("https", &server));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn https_may_have_a_port_of_its_own_beside_the_common_one() {
    let directory = Directory::new("port");
    let root = directory.renew();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let second = free.local_addr().unwrap();
    drop(free);
    let server = Server::start(|settings| {
        settings.tls.mode = directory.mode();
        settings.tls.listen = Some(second);
    })
    .await;
    assert_ne!(server.http.port(), second.port());
    for port in [server.http.port(), second.port()] {
        let url = format!("https://127.0.0.1:{port}/healthz");
        let answer = client(&root).get(url).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_trust_a_certificate_that_they_are_given_or_any_when_told_so() {
    let directory = Directory::new("clients");
    directory.renew();
    let server = directory.server().await;
    let url = format!("https://{}/whep/nobody", server.http);
    let file = directory.path("certificate.pem");
    let file = file.to_str().unwrap();
    let watch = |flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["watch", &url, "--json", "--quiet"]);
        let output = command.args(flags).env_clear().output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    for flags in [&["--ca", file][..], &["--insecure"]] {
        let said = watch(flags);
        assert!(said.contains("nobody publishes"), "{flags:?}: {said}");
    }
    let said = watch(&[]);
    assert!(
        said.contains("is not trusted") && said.contains("--ca"),
        "{said}"
    );
    let key = directory.path("key.pem");
    let said = watch(&["--ca", key.to_str().unwrap()]);
    assert!(said.contains("holds no certificate"), "{said}");
}

/// An address of this machine that is not loopback: to the server, whoever connects from it to
/// another address is a stranger.
fn own_address() -> Option<IpAddr> {
    let interfaces = tidegate::network::Interface::all();
    let mut addresses = interfaces.iter().map(|interface| interface.ip);
    addresses.find(|ip| ip.is_ipv4() && !ip.is_loopback())
}
