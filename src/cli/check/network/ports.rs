//! Whether the ports can be bound, and who has them if not.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

use super::gateway::{Gateway, GatewayError};
use super::report::{Finding, Report, Section};
use crate::app;
use crate::config::Settings;
use crate::shard::Probe;

/// The ports as they are now.
pub(super) struct Ports {
    /// Where media by UDP is, or would be, bound.
    pub(super) udp: SocketAddr,
    /// Where media by TCP is, or would be, bound, if it is taken.
    pub(super) tcp: Option<SocketAddr>,
    /// A socket like those of the gateway, on another port if a gateway has ours.
    pub(super) probe: Option<Probe>,
    pub(super) holder: Holder,
}

/// Who answers on the ports.
pub(super) enum Holder {
    /// We do.
    Us {
        udp: Option<std::net::UdpSocket>,
        tcp: Vec<TcpListener>,
    },
    /// A gateway that runs, and a session there.
    Gateway(Gateway),
    /// Somebody who can't be asked.
    Nobody,
}

impl Ports {
    /// Binds all ports, or finds the gateway that has them.
    pub(super) async fn look(settings: &Settings, report: &mut Report) -> Self {
        let mut entrances = app::entrances(settings);
        let mut tcp = Vec::new();
        let mut chosen = 0;
        for mut address in entrances.to_bind() {
            if address.port() == 0 {
                address.set_port(chosen);
            }
            let bound = TcpListener::bind(address).await;
            if let Ok(local) = bound
                .as_ref()
                .map_err(drop)
                .and_then(|bound| bound.local_addr().map_err(drop))
            {
                if address.port() == 0 {
                    chosen = local.port();
                }
                address = local;
            }
            tcp.push((address, bound));
        }
        entrances.resolve(chosen);
        let mut udp = settings.media.listen;
        if udp.port() == 0 {
            udp.set_port(chosen);
        }
        let probe = Probe::bind(udp);
        let mut ports = Self {
            udp,
            tcp: entrances.ice.first().copied(),
            probe: None,
            holder: Holder::Nobody,
        };
        let is_taken = |error: Option<&io::Error>| {
            error.is_some_and(|error| error.kind() == io::ErrorKind::AddrInUse)
        };
        let all_taken = is_taken(probe.as_ref().err())
            && tcp.iter().all(|(_, bound)| is_taken(bound.as_ref().err()));
        if all_taken {
            ports.holder = running(settings, udp, report).await;
            ports.probe = Probe::bind(SocketAddr::new(udp.ip(), 0)).ok();
            return ports;
        }
        let tcp = tcp
            .into_iter()
            .filter_map(|(address, bound)| keep(bound, "listen.tcp", "TCP", address, report))
            .collect();
        ports.probe = keep(probe, "listen.udp", "UDP", udp, report);
        let socket = ports
            .probe
            .as_ref()
            .and_then(|probe| probe.socket.try_clone().ok());
        ports.holder = Holder::Us { udp: socket, tcp };
        ports
    }
}

fn keep<T>(
    bound: io::Result<T>,
    check: &'static str,
    protocol: &str,
    address: SocketAddr,
    report: &mut Report,
) -> Option<T> {
    let subject = format!("{protocol} {address}");
    match bound {
        Ok(bound) => {
            report.add(
                Section::Listening,
                Finding::ok(check, subject, "free, and can be bound"),
            );
            Some(bound)
        }
        Err(error) => {
            let remedy = match error.kind() {
                io::ErrorKind::AddrInUse => {
                    format!(
                        "end what uses it (ss -lpn 'sport = :{}'), or choose another port",
                        address.port()
                    )
                }
                io::ErrorKind::PermissionDenied => {
                    "ports below 1024 need the capability CAP_NET_BIND_SERVICE, or a \
                     higher port"
                        .to_owned()
                }
                io::ErrorKind::AddrNotAvailable => {
                    "no interface that is up has this address; listen on [::]".to_owned()
                }
                _ => "choose another address with `listen`".to_owned(),
            };
            report.add(
                Section::Listening,
                Finding::fail(check, subject, error).remedy(remedy),
            );
            None
        }
    }
}

/// All ports are taken: by a gateway?
async fn running(settings: &Settings, udp: SocketAddr, report: &mut Report) -> Holder {
    let tcp = settings.listen;
    let session = Gateway::ask(settings, reachable_here(tcp)).await;
    let (finding, holder) = match session {
        Ok(gateway) => (
            Finding::ok("listen.tcp", format!("TCP {tcp}"), "a gateway runs here and is asked"),
            Holder::Gateway(gateway),
        ),
        Err(error @ GatewayError::Refused(_)) => (
            Finding::warn("listen.tcp", format!("TCP {tcp}"), error)
                .remedy("give the settings of the gateway that runs, with its publish token; or end it for this check"),
            Holder::Nobody,
        ),
        Err(error) => (
            Finding::fail("listen.tcp", format!("TCP {tcp}"), error).remedy(format!(
                "end what uses the port (ss -lpn 'sport = :{}'), or choose another one",
                tcp.port()
            )),
            Holder::Nobody,
        ),
    };
    report.add(Section::Listening, finding);
    if matches!(holder, Holder::Gateway(_)) {
        report.add(
            Section::Listening,
            Finding::ok(
                "listen.udp",
                format!("UDP {udp}"),
                "bound, by this gateway as it seems",
            ),
        );
    }
    holder
}

/// An address of this machine that leads to what listens on `bound`.
fn reachable_here(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        ip if !ip.is_unspecified() => ip,
        // The IPv6 wildcard takes IPv4 too.
        _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    SocketAddr::new(ip, bound.port())
}
