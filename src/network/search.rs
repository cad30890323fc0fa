//! Looks for what can be announced: names, interfaces, the address outside of the NAT.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::announcement::{Announcement, Listening};
use super::candidates::Candidates;
use super::interface::Interface;
use super::reason::Warning;
use super::stun::{self, Binding, BindingError};
use crate::config::{Endpoint, HostName, Media};

/// How long the resolver may take for one name.
const RESOLVING: Duration = Duration::from_secs(5);
/// How soon what went wrong is tried again.
const RETRY: Duration = Duration::from_secs(15);

/// What was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The addresses of this machine.
    pub interfaces: Vec<Interface>,
    /// The names of `media.addresses`, and what stands behind them or why nothing does.
    pub names: BTreeMap<String, Result<Vec<IpAddr>, String>>,
    /// Where the STUN server sees us, at most once per family; none without a server. An error if none could be asked.
    pub mappings: Result<Vec<Mapping>, String>,
}

/// The answer to a question to a STUN server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Who was asked.
    pub server: SocketAddr,
    /// The port from which was asked.
    pub local: u16,
    /// The address that the server saw.
    pub outcome: Result<SocketAddr, BindingError>,
}

/// What to look for.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    media: &'a Media,
    /// Where STUN servers are asked from.
    from: SocketAddr,
}

impl<'a> Search<'a> {
    /// A search before the media port is bound: servers are asked from that port, so that they tell what
    /// a NAT makes of it.
    pub fn from_media_port(media: &'a Media) -> Self {
        Self {
            media,
            from: media.listen,
        }
    }

    /// A search while the media port is in use: servers are asked from any other.
    pub fn from_any_port(media: &'a Media) -> Self {
        Self {
            media,
            from: SocketAddr::new(media.listen.ip(), 0),
        }
    }

    /// Looks at everything that the settings name. Takes some seconds at most.
    pub async fn run(self) -> Found {
        let (names, mappings) = tokio::join!(self.names(), self.mappings());
        Found {
            interfaces: Interface::all(),
            names,
            mappings,
        }
    }

    async fn names(self) -> BTreeMap<String, Result<Vec<IpAddr>, String>> {
        let mut names = BTreeMap::new();
        for endpoint in &self.media.addresses {
            if let HostName::Name(name) = &endpoint.host
                && !names.contains_key(name)
            {
                let ips = resolve(&endpoint.host, 0).await;
                let ips = ips.map(|ips| ips.iter().map(SocketAddr::ip).collect());
                names.insert(name.clone(), ips);
            }
        }
        names
    }

    async fn mappings(self) -> Result<Vec<Mapping>, String> {
        let Some(Endpoint { host, port }) = &self.media.stun else {
            return Ok(Vec::new());
        };
        let servers = resolve(host, port.unwrap_or(stun::PORT)).await?;
        let asked = ask(self.from, &servers).await;
        asked.map_err(|error| error.to_string())
    }
}

async fn resolve(host: &HostName, port: u16) -> Result<Vec<SocketAddr>, String> {
    let name = match host {
        HostName::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, port)]),
        HostName::Name(name) => name.as_str(),
    };
    match timeout(RESOLVING, tokio::net::lookup_host((name, port))).await {
        Ok(Ok(addresses)) => {
            let mut found: Vec<SocketAddr> = Vec::new();
            for address in addresses {
                if !found.contains(&address) {
                    found.push(address);
                }
            }
            if found.is_empty() {
                return Err("it has no address".to_owned());
            }
            Ok(found)
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the resolver did not answer".to_owned()),
    }
}

/// Asks the first server of each family that a socket at `from` can send to, both at once.
async fn ask(from: SocketAddr, servers: &[SocketAddr]) -> io::Result<Vec<Mapping>> {
    let takes_both = from.ip().is_unspecified() && from.is_ipv6();
    let first = |is_ipv6: bool| {
        let mut servers = servers.iter().copied();
        servers
            .find(|server| server.is_ipv6() == is_ipv6)
            .filter(|_| takes_both || from.is_ipv6() == is_ipv6)
    };
    let ipv4 = match from.ip() {
        IpAddr::V4(_) => from,
        IpAddr::V6(_) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), from.port()),
    };
    // IPv4 takes the port: there a NAT may change it.
    let (ipv4, ipv6) = tokio::join!(ask_one(ipv4, first(false)), ask_one(from, first(true)));
    let mappings: Vec<_> = [ipv4?, ipv6?].into_iter().flatten().collect();
    if mappings.is_empty() {
        let message = "it has no address of the family that media listens on";
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, message));
    }
    Ok(mappings)
}

async fn ask_one(from: SocketAddr, server: Option<SocketAddr>) -> io::Result<Option<Mapping>> {
    let Some(server) = server else {
        return Ok(None);
    };
    let now = Instant::now().into_std();
    let binding = Binding::new(now, server, rand::random());
    put(from, binding).await.map(Some)
}

/// Puts a question by UDP, from `from` if that is free. Takes [`stun::PATIENCE`] at most.
///
/// # Errors
///
/// When there is no socket to be had.
pub async fn put(from: SocketAddr, mut binding: Binding) -> io::Result<Mapping> {
    let server = binding.server();
    let socket = match UdpSocket::bind(from).await {
        Ok(socket) => socket,
        // Somebody has the port; who binds it for media tells so.
        Err(_) => UdpSocket::bind(SocketAddr::new(from.ip(), 0)).await?,
    };
    let local = socket.local_addr()?.port();
    let mut datagram = [0; 1_500];
    let outcome = loop {
        let now = Instant::now().into_std();
        binding.handle_timeout(now);
        if let Some(outcome) = binding.outcome() {
            break outcome;
        }
        if let Some(request) = binding.poll_transmit(now) {
            // What can't be sent now (no route yet, a full queue) is as good as lost, and sent again.
            let _ = socket.send_to(request, server).await;
        }
        let Some(until) = binding.poll_timeout() else {
            continue;
        };
        if let Ok(Ok((length, from))) =
            timeout_at(Instant::from_std(until), socket.recv_from(&mut datagram)).await
            && from == server
        {
            binding.handle_datagram(&datagram[..length]);
        }
    };
    Ok(Mapping {
        server,
        local,
        outcome,
    })
}

/// Looks again and again, and tells who makes answers when something has changed. Ends when nobody does
/// any more.
pub async fn keep_current(
    media: Arc<Media>,
    listening: Listening,
    first: Found,
    candidates: watch::Sender<Candidates>,
) {
    let mut known = first;
    let mut warnings = Announcement::new(&media, &known, listening).warnings;
    loop {
        let pause = if warnings.iter().any(is_passing) {
            RETRY.min(media.address_refresh)
        } else {
            media.address_refresh
        };
        tokio::select! {
            () = candidates.closed() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let mut found = Search::from_any_port(&media).run().await;
        let announcement = {
            let fresh = Announcement::new(&media, &found, listening);
            for warning in fresh.warnings.iter().filter(|new| !warnings.contains(new)) {
                tracing::warn!("{warning}");
            }
            warnings = fresh.warnings;
            // An answer that is missing now does not make the last one wrong.
            found.keep_from(known);
            Announcement::new(&media, &found, listening)
        };
        known = found;
        let next = Candidates::from(announcement);
        candidates.send_if_modified(|current| {
            let is_new = *current != next;
            if is_new {
                tracing::info!("our addresses have changed; new sessions get the new ones");
                *current = next;
            }
            is_new
        });
    }
}

/// Whether time alone may mend it.
fn is_passing(warning: &Warning) -> bool {
    !matches!(warning, Warning::OtherPort { .. })
}

impl Found {
    /// Takes over what `last` knew and this search could not find.
    fn keep_from(&mut self, last: Self) {
        for (name, ips) in &mut self.names {
            if ips.is_err()
                && let Some(Ok(known)) = last.names.get(name)
            {
                *ips = Ok(known.clone());
            }
        }
        let has_answer = |mappings: &Result<Vec<Mapping>, String>| {
            mappings
                .as_ref()
                .is_ok_and(|mappings| mappings.iter().any(|mapping| mapping.outcome.is_ok()))
        };
        if !has_answer(&self.mappings) && has_answer(&last.mappings) {
            self.mappings = last.mappings;
        }
    }
}

#[cfg(test)]
mod tests;
