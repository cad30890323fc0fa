//! For tests: what some code logs, and whether it holds what must not be logged.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use tracing::Level;
use tracing::subscriber::NoSubscriber;

/// The text of a log.
pub(crate) struct Captured(String);

/// Runs `code` and keeps what this thread logs meanwhile, at every level.
pub(crate) fn capture<T>(code: impl FnOnce() -> T) -> (T, Captured) {
    // With one subscriber alone, a line that another test reaches first would be off for this one as
    // well: its thread is asked, and has none.
    let _other = tracing::Dispatch::new(NoSubscriber::default());
    let log = Buffer::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let result = tracing::subscriber::with_default(subscriber, code);
    let bytes = log.0.lock().unwrap().clone();
    (result, Captured(String::from_utf8(bytes).unwrap()))
}

impl Captured {
    /// The text, one line an event.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Panics if the log holds one of `secrets` or the whole address of a host.
    #[track_caller]
    pub(crate) fn assert_redacted(&self, secrets: &[&str]) {
        for secret in secrets {
            assert!(
                !self.0.contains(secret),
                "a secret is in the log:\n{}",
                self.0
            );
        }
        if let Some(address) = whole_address(&self.0) {
            panic!("the address {address} is in the log:\n{}", self.0);
        }
    }
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The first address with more than its network in it. Loopback and the unspecified address tell
/// nothing of anybody.
fn whole_address(text: &str) -> Option<IpAddr> {
    text.split(|c: char| c.is_whitespace() || "=[](){}<>,;\"'`/".contains(c))
        .filter_map(|word| {
            let word = word.trim_end_matches(['.', ':']);
            let without_port = word.rsplit_once(':').map(|(address, _)| address);
            word.parse().ok().or_else(|| without_port?.parse().ok())
        })
        .find(|ip: &IpAddr| match ip.to_canonical() {
            IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_unspecified() && ip.octets()[3] != 0,
            IpAddr::V6(ip) => !ip.is_loopback() && ip.to_bits() << 48 != 0,
        })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::config::Secret;
    use crate::telemetry::PartialAddr;

    #[test]
    fn redacted_values_pass() {
        let peer: SocketAddr = "203.0.113.77:5004".parse().unwrap();
        let token = Secret::new("hunter2");
        let ((), log) = capture(|| {
            tracing::info!(peer = %PartialAddr::from(peer), ?token, "session accepted");
            tracing::trace!(peer = ?PartialAddr::from(peer.ip()), "at 2026-01-02T03:04:05.678Z");
        });
        assert!(log.text().contains("203.0.113.0/24"), "{}", log.text());
        log.assert_redacted(&["hunter2"]);
    }

    #[test]
    fn whole_addresses_and_secrets_are_found() {
        for text in [
            "203.0.113.77",
            "peer=203.0.113.77:5004",
            "[2001:db8::7]:443.",
            "from 2001:db8::7",
        ] {
            let ((), log) = capture(|| tracing::debug!("{text}"));
            assert!(
                std::panic::catch_unwind(|| log.assert_redacted(&[])).is_err(),
                "{text}"
            );
        }
        let ((), log) = capture(|| tracing::debug!("Bearer hunter2"));
        assert!(std::panic::catch_unwind(|| log.assert_redacted(&["hunter2"])).is_err());
    }
}
