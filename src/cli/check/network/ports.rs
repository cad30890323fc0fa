//! Whether the ports can be bound, and who has them if not.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

use super::gateway::{Gateway, GatewayError};
use super::report::{Finding, Report, Section};
use crate::config::Settings;
use crate::shard::Probe;

/// The ports as they are now.
pub(super) struct Ports {
    /// Where media is, or would be, bound.
    pub(super) udp: SocketAddr,
    /// Where TCP is, or would be, bound.
    pub(super) tcp: SocketAddr,
    /// A socket like those of the gateway, on another port if a gateway has ours.
    pub(super) probe: Option<Probe>,
    pub(super) holder: Holder,
}

/// Who answers on the ports.
pub(super) enum Holder {
    /// We do.
    Us {
        udp: Option<std::net::UdpSocket>,
        tcp: Option<TcpListener>,
    },
    /// A gateway that runs, and a session there.
    Gateway(Gateway),
    /// Somebody who can't be asked.
    Nobody,
}

impl Ports {
    /// Binds both ports, or finds the gateway that has them.
    pub(super) async fn look(settings: &Settings, report: &mut Report) -> Self {
        let (wanted_tcp, mut wanted_udp) = (settings.listen, settings.media.listen);
        let tcp = TcpListener::bind(wanted_tcp).await;
        let local = tcp.as_ref().ok().and_then(|tcp| tcp.local_addr().ok());
        if let Some(local) = local
            && wanted_udp.port() == 0
        {
            wanted_udp.set_port(local.port());
        }
        let probe = Probe::bind(wanted_udp);
        let mut ports = Self {
            udp: wanted_udp,
            tcp: local.unwrap_or(wanted_tcp),
            probe: None,
            holder: Holder::Nobody,
        };
        let is_taken = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
        match (tcp, probe) {
            (Err(tcp), Err(udp)) if is_taken(&tcp) && is_taken(&udp) => {
                ports.holder = running(settings, wanted_tcp, wanted_udp, report).await;
                ports.probe = Probe::bind(SocketAddr::new(wanted_udp.ip(), 0)).ok();
            }
            (tcp, probe) => {
                let tcp = keep(tcp, "listen.tcp", "TCP", ports.tcp, report);
                ports.probe = keep(probe, "listen.udp", "UDP", wanted_udp, report);
                ports.holder = Holder::Us {
                    udp: ports
                        .probe
                        .as_ref()
                        .and_then(|probe| probe.socket.try_clone().ok()),
                    tcp,
                };
            }
        }
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

/// Both ports are taken: by a gateway?
async fn running(
    settings: &Settings,
    tcp: SocketAddr,
    udp: SocketAddr,
    report: &mut Report,
) -> Holder {
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
