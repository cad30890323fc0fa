//! What sessions that come to nothing leave behind, measured at a process of its own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use reqwest::StatusCode;

use crate::lifetime::until;
use crate::support::peer::{Link, Options, Peer, Session};

const SESSIONS: usize = 50;

struct Process {
    child: Child,
    http: String,
}

impl Process {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["serve", "--listen", "127.0.0.1:0", "--shards", "2"])
            .env_clear()
            .env("TIDEGATE_HLS_ENABLED", "false")
            .env("TIDEGATE_LIMITS_CONNECT_TIMEOUT", "2s")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.find_map(|line| {
            let line = line.unwrap();
            line.contains("WHIP endpoint").then_some(line)
        });
        let line = line.expect("it prints its URLs");
        let url = line.split_whitespace().last().unwrap();
        Self {
            child,
            http: url.split("/whip").next().unwrap().to_owned(),
        }
    }

    /// Resident memory, in KiB.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        line.unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_never_finish_dtls_leave_no_memory() {
    /// A tenth of what the sessions of the last two rounds take while they are open, 64 KiB each.
    const GROWTH: u64 = 2 * SESSIONS as u64 * 64 / 10;
    let process = Process::start();
    let whep = format!("{}/whep/demo", process.http);
    let _publisher = Peer::publish(&format!("{}/whip/demo", process.http), None).await;
    let options = Options::subscriber();
    let mut resident = Vec::new();
    for _ in 0..4 {
        let mut sessions = Vec::new();
        for index in 0..SESSIONS {
            let session = Session::create(&whep, None, &options).await.unwrap();
            let mut link = Link::new(&session.answer, &options).await;
            if index % 2 == 0 {
                link.reach().await;
                // The handshake begins, and is left at that.
                let hello = link.client_hello();
                link.send(&hello).await;
            }
            sessions.push(session);
        }
        until("the end of the half-open sessions", async || {
            for session in &sessions {
                if session.exists().await {
                    return false;
                }
            }
            true
        })
        .await;
        resident.push(process.resident());
    }
    // The first round fills what is used again: queues, tables, the allocator's own.
    let grown = resident[3].saturating_sub(resident[1]);
    assert!(grown < GROWTH, "{resident:?} KiB");
    let gone = Session::create(&whep, None, &options).await.unwrap();
    assert_eq!(gone.delete().await, StatusCode::OK);
}
