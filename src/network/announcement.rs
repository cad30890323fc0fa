//! From what was found to what clients are told, best first, each with its reason. Pure.
//!
//! Clients exist that try only the first candidate they get, and others lose seconds with every one
//! that leads nowhere. So an address is announced only if it can work from somewhere else: not that of a
//! link, not loopback or the inside of a container host unless there is nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::interface::Interface;
use super::reason::{LeftOut, Reason, Warning, WhyNot};
use super::scope::Scope;
use super::search::{Found, Mapping};
use crate::config::{Endpoint, HostName, Media};

/// An answer lists all addresses, and clients exist that refuse an answer over 8,192 bytes.
const MAX_ADDRESSES: usize = 8;

/// The sockets that clients reach through the announced addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Of media by UDP.
    pub udp: SocketAddr,
    /// Of media by TCP, if it is taken.
    pub tcp: Option<SocketAddr>,
}

/// What clients are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announcement {
    /// Where to send to, best first; never empty.
    pub announced: Vec<Announced>,
    /// Our loopback addresses, for clients on this machine; as far as they are listened on.
    pub loopback: Vec<Announced>,
    /// The addresses of this machine that clients are not told, and why.
    pub left_out: Vec<LeftOut>,
    /// What is not as it was configured.
    pub warnings: Vec<Warning>,
}

/// An address that clients are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// For media by UDP.
    pub udp: SocketAddr,
    /// For media by TCP, if it can be reached there.
    pub tcp: Option<SocketAddr>,
    /// Why it is announced.
    pub reason: Reason,
}

impl Announced {
    /// Whether an interface of this machine has it, so that no NAT stands before it.
    pub fn is_here(&self) -> bool {
        matches!(self.reason, Reason::Listened | Reason::Interface(_))
    }
}

impl Announcement {
    /// What is announced of `found`, as `media` wants it.
    pub fn new(media: &Media, found: &Found, listening: Listening) -> Self {
        let mut this = Self {
            loopback: loopback(listening),
            ..Self::default()
        };
        this.announced = this.configured(&media.addresses, found, listening);
        if this.announced.is_empty() {
            this.announced = this.found(media, found, listening);
        }
        for surplus in this
            .announced
            .split_off(this.announced.len().min(MAX_ADDRESSES))
        {
            if let Reason::Interface(interface) = surplus.reason {
                this.left_out.push(LeftOut {
                    ip: surplus.udp.ip(),
                    interface,
                    why: WhyNot::Surplus,
                });
            }
        }
        if this.announced.is_empty() {
            this.announced.clone_from(&this.loopback);
        }
        let is_loopback = |announced: &Announced| announced.udp.ip().is_loopback();
        if this.announced.iter().all(is_loopback) && !listening.udp.ip().is_loopback() {
            this.warnings.push(Warning::OnlyLoopback);
        }
        this
    }

    /// The addresses that were written down, just these and in this order.
    fn configured(
        &mut self,
        addresses: &[Endpoint],
        found: &Found,
        listening: Listening,
    ) -> Vec<Announced> {
        let mut announced: Vec<Announced> = Vec::new();
        for endpoint in addresses {
            let (ips, reason) = match &endpoint.host {
                HostName::Ip(ip) => (vec![*ip], Reason::Configured),
                HostName::Name(name) => match found.names.get(name) {
                    Some(Ok(ips)) => {
                        let served = |ip: &&IpAddr| serves_family(listening.udp.ip(), **ip);
                        (
                            ips.iter().filter(served).copied().collect(),
                            Reason::Resolved(name.clone()),
                        )
                    }
                    unresolved => {
                        let error = match unresolved {
                            Some(Err(error)) => error.clone(),
                            _ => "it was not looked up".to_owned(),
                        };
                        let name = name.clone();
                        self.warnings.push(Warning::Unresolved { name, error });
                        continue;
                    }
                },
            };
            for ip in ips {
                let tcp = listening
                    .tcp
                    .filter(|tcp| ip.is_loopback() || !tcp.ip().is_loopback());
                let next = Announced {
                    udp: SocketAddr::new(ip, endpoint.port.unwrap_or(listening.udp.port())),
                    tcp: tcp.map(|tcp| SocketAddr::new(ip, endpoint.port.unwrap_or(tcp.port()))),
                    reason: reason.clone(),
                };
                if announced.iter().all(|other| other.udp != next.udp) {
                    announced.push(next);
                }
            }
        }
        announced
    }

    /// The addresses of this machine and the public ones of its NAT.
    fn found(&mut self, media: &Media, found: &Found, listening: Listening) -> Vec<Announced> {
        let mut ranked: Vec<(Rank, Announced)> = Vec::new();
        if listening.udp.ip().is_unspecified() {
            self.unknown_interfaces(media, found);
            for interface in &found.interfaces {
                match self.judge(interface, media, found, listening) {
                    Ok(rank) => {
                        let reason = Reason::Interface(interface.name.clone());
                        ranked.push((rank, here(interface.ip, reason, listening)));
                    }
                    Err(why) => self.left_out.push(LeftOut {
                        ip: interface.ip,
                        interface: interface.name.clone(),
                        why,
                    }),
                }
            }
        } else {
            let ip = listening.udp.ip();
            ranked.push((
                Rank::of(ip, true, false),
                here(ip, Reason::Listened, listening),
            ));
        }
        for mapping in self.mappings(found, listening) {
            if ranked
                .iter()
                .all(|(_, other)| other.udp.ip() != mapping.ip())
            {
                let ip = mapping.ip();
                let tcp = listening.tcp.filter(|tcp| !tcp.ip().is_loopback());
                let announced = Announced {
                    // Who sends to the port of the mapping meets a NAT that lets only the STUN server through;
                    // the port that is forwarded has our number.
                    udp: SocketAddr::new(ip, listening.udp.port()),
                    tcp: tcp.map(|tcp| SocketAddr::new(ip, tcp.port())),
                    reason: Reason::Mapped,
                };
                ranked.push((Rank::of(ip, true, false), announced));
            }
        }
        ranked.sort_by_key(|(rank, _)| *rank);
        let mut announced: Vec<_> = ranked.into_iter().map(|(_, announced)| announced).collect();
        announced.dedup_by_key(|announced| announced.udp);
        announced
    }

    /// How good the address of an interface is, or why it is none for clients.
    fn judge(
        &self,
        interface: &Interface,
        media: &Media,
        found: &Found,
        listening: Listening,
    ) -> Result<Rank, WhyNot> {
        let ip = interface.ip;
        let is_chosen = media
            .interfaces
            .iter()
            .any(|wanted| names(wanted, interface));
        // A container host may have nothing else, and a bridge may be its way to the world.
        let is_only_bridged = || {
            !found.interfaces.iter().any(|other| {
                Scope::of(other.ip) < Scope::Link
                    && !other.is_bridge()
                    && other.ip.is_ipv4() == ip.is_ipv4()
            })
        };
        match Scope::of(ip) {
            Scope::Link => Err(WhyNot::LinkLocal),
            _ if !media.interfaces.is_empty() && !is_chosen => Err(WhyNot::NotChosen),
            Scope::Loopback => Err(WhyNot::Loopback),
            _ if !serves_family(listening.udp.ip(), ip) => Err(WhyNot::NotListened),
            _ if interface.is_bridge()
                && !interface.is_default
                && !is_chosen
                && !is_only_bridged() =>
            {
                Err(WhyNot::Bridge)
            }
            Scope::Public | Scope::Private => {
                Ok(Rank::of(ip, interface.is_default, interface.is_tunnel()))
            }
        }
    }

    fn unknown_interfaces(&mut self, media: &Media, found: &Found) {
        for wanted in &media.interfaces {
            if !found
                .interfaces
                .iter()
                .any(|interface| names(wanted, interface))
            {
                self.warnings.push(Warning::NoInterface(wanted.clone()));
            }
        }
    }

    /// Where the STUN server sees us, and what is wrong with that.
    fn mappings(&mut self, found: &Found, listening: Listening) -> Vec<SocketAddr> {
        let mappings = match &found.mappings {
            Ok(mappings) => mappings,
            Err(error) => {
                let error = error.clone();
                self.warnings.push(Warning::NoStunServer { error });
                return Vec::new();
            }
        };
        let mut seen = Vec::new();
        for Mapping { local, outcome, .. } in mappings {
            match outcome {
                Ok(address) if Scope::of(address.ip()) > Scope::Private => {}
                Ok(address) => {
                    let is_ours = *local == listening.udp.port();
                    let is_here = found.interfaces.iter().any(|i| i.ip == address.ip());
                    if is_ours && !is_here && address.port() != *local {
                        self.warnings.push(Warning::OtherPort {
                            local: *local,
                            mapped: address.port(),
                        });
                    }
                    seen.push(*address);
                }
                Err(error) => self.warnings.push(Warning::NoMapping { error: *error }),
            }
        }
        seen
    }
}

/// What stands first: what reaches furthest, then what the system itself would take, then IPv4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    is_tunnel: bool,
    scope: Scope,
    is_no_default: bool,
    is_ipv6: bool,
    ip: IpAddr,
}

impl Rank {
    fn of(ip: IpAddr, is_default: bool, is_tunnel: bool) -> Self {
        Self {
            is_tunnel,
            scope: Scope::of(ip),
            is_no_default: !is_default,
            is_ipv6: ip.is_ipv6(),
            ip,
        }
    }
}

/// An address of an interface, with TCP if that is listened on there too.
fn here(ip: IpAddr, reason: Reason, listening: Listening) -> Announced {
    let tcp = listening.tcp.filter(|tcp| serves(tcp.ip(), ip));
    Announced {
        udp: SocketAddr::new(ip, listening.udp.port()),
        tcp: tcp.map(|tcp| SocketAddr::new(ip, tcp.port())),
        reason,
    }
}

fn loopback(listening: Listening) -> Vec<Announced> {
    let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
    let served = both
        .into_iter()
        .filter(|ip| serves(listening.udp.ip(), *ip));
    served
        .map(|ip| here(ip, Reason::Interface("lo".to_owned()), listening))
        .collect()
}

/// Whether who is bound to `bound` gets what is sent to `ip`, an address of this machine.
fn serves(bound: IpAddr, ip: IpAddr) -> bool {
    bound == ip || (bound.is_unspecified() && serves_family(bound, ip))
}

/// An IPv6 wildcard takes IPv4 too.
fn serves_family(bound: IpAddr, ip: IpAddr) -> bool {
    bound.is_ipv4() == ip.is_ipv4() || (bound.is_unspecified() && bound.is_ipv6())
}

fn names(wanted: &str, interface: &Interface) -> bool {
    wanted == interface.name || wanted.parse() == Ok(interface.ip)
}

#[cfg(test)]
mod tests;
