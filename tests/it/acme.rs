//! A certificate from an authority: Pebble, the test server of Let's Encrypt.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use rcgen::generate_simple_self_signed;
use reqwest::{Certificate, Client, StatusCode};
use tidegate::config::{Authority, TlsAcme, TlsMode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;

use crate::lifetime::until;
use crate::support::server::Server;

/// The name that the certificate is for. It exists in the name server of the test only.
const NAME: &str = "gate.example";
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A running authority. Dropping it ends it.
struct Pebble {
    child: Child,
    directory: PathBuf,
    url: String,
    management: String,
    certificate: Certificate,
}

impl Pebble {
    /// Starts it; it will look for the gateway at the port `tls` of each name. `None` if there is
    /// no such program.
    fn start(tls: u16, names: SocketAddr) -> Option<Self> {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("acme");
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let own = generate_simple_self_signed([HERE.to_string()]).unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.join(name);
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (listen, management) = (free_port(), free_port());
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("{HERE}:{listen}"),
            "managementListenAddress": format!("{HERE}:{management}"),
            "certificate": file("pebble.crt", &own.cert.pem()),
            "privateKey": file("pebble.key", &own.signing_key.serialize_pem()),
            "httpPort": 1,
            "tlsPort": tls,
        }});
        let started = Command::new("pebble")
            .args(["-config", &file("pebble.json", &config.to_string())])
            .args(["-dnsserver", &names.to_string()])
            .env("PEBBLE_VA_NOSLEEP", "1")
            // It refuses good nonces now and then, which clients have to bear by trying again.
            .env("PEBBLE_WFE_NONCEREJECT", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => panic!("pebble can't be started: {error}"),
        };
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.any(|line| line.unwrap().contains("ACME directory available"));
        assert!(ready, "pebble ended before it listened");
        thread::spawn(move || lines.for_each(drop));
        Some(Self {
            child,
            url: format!("https://{HERE}:{listen}/dir"),
            management: format!("https://{HERE}:{management}"),
            certificate: Certificate::from_pem(own.cert.pem().as_bytes()).unwrap(),
            directory,
        })
    }

    /// The root that its certificates go back to.
    async fn root(&self) -> Certificate {
        let client = Client::builder().no_proxy();
        let client = client.add_root_certificate(self.certificate.clone());
        let (client, url) = (
            client.build().unwrap(),
            format!("{}/roots/0", self.management),
        );
        // It says that it is ready while it begins to listen there.
        until("pebble to tell its root", async || {
            client.get(&url).send().await.is_ok()
        })
        .await;
        let answer = client.get(&url).send().await.unwrap();
        Certificate::from_pem(&answer.bytes().await.unwrap()).unwrap()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((HERE, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// A name server to which every name is this machine. Old versions of Pebble ask by UDP, new ones
/// by TCP.
async fn name_server() -> SocketAddr {
    let (tcp, udp) = loop {
        let tcp = tokio::net::TcpListener::bind((HERE, 0)).await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            break (tcp, udp);
        }
    };
    let address = tcp.local_addr().unwrap();
    tokio::spawn(async move {
        let mut query = [0; 512];
        loop {
            let (length, from) = udp.recv_from(&mut query).await.unwrap();
            udp.send_to(&answer(&query[..length]), from).await.unwrap();
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = tcp.accept().await.unwrap();
            // Each message has its length before it; one connection asks one thing.
            let mut query = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut query).await.unwrap();
            let answer = answer(&query);
            stream.write_u16(answer.len() as u16).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    });
    address
}

/// RFC 1035, section 4.1.
fn answer(query: &[u8]) -> Vec<u8> {
    const TYPE_A: [u8; 2] = [0, 1];
    // The header, and the one question behind it: a name that ends with 0, type and class.
    let name = query[12..].iter().position(|byte| *byte == 0);
    let end = 12 + name.unwrap() + 5;
    let is_a = query[end - 4..end - 2] == TYPE_A;
    let mut answer = query[..end].to_vec();
    answer[2] |= 0x80;
    answer[6..12].copy_from_slice(&[0, u8::from(is_a), 0, 0, 0, 0]);
    if is_a {
        // The name of the question, type A, class IN, a minute, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_comes_by_the_same_port_and_is_kept() {
    let port = free_port();
    let Some(pebble) = Pebble::start(port, name_server().await) else {
        eprintln!("skipped: there is no program called pebble; Debian has a package of it");
        return;
    };
    let listen = SocketAddr::new(HERE, port);
    let start = async || {
        Server::start(|settings| {
            settings.listen = listen;
            settings.tls.directory = pebble.directory.join("state");
            settings.tls.mode = TlsMode::Acme(TlsAcme {
                domains: vec![NAME.to_owned()],
                contact: vec!["admin@gate.example".to_owned()],
                authority: Authority::Url(pebble.url.clone()),
                root: Some(pebble.directory.join("pebble.crt")),
            });
        })
        .await
    };
    let server = start().await;
    let root = pebble.root().await;
    let client = || {
        let client = Client::builder().no_proxy().resolve(NAME, listen);
        client.add_root_certificate(root.clone()).build().unwrap()
    };
    let url = format!("https://{NAME}:{port}/healthz");
    until("a certificate", async || {
        client().get(&url).send().await.is_ok()
    })
    .await;
    let answer = client().get(&url).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);

    // After a restart it is there at once, and the authority is not asked again.
    let before = orders(&pebble);
    server.stop().await.unwrap();
    let server = start().await;
    until("the kept certificate", async || {
        client().get(&url).send().await.is_ok()
    })
    .await;
    assert_eq!(orders(&pebble), before);
    server.stop().await.unwrap();
}

/// What is kept: the certificate changes with every order.
fn orders(pebble: &Pebble) -> Vec<Vec<u8>> {
    let files = fs::read_dir(pebble.directory.join("state/acme")).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 2, "an account and a certificate");
    files.iter().map(|path| fs::read(path).unwrap()).collect()
}
