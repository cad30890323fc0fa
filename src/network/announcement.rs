//! From what was found to what clients are told, best first, each with its reason. Pure.
//!
//! Clients exist that try only the first candidate they get, and others lose seconds with every one
//! that leads nowhere. So an address is announced only if it can work from somewhere else: not that of a
//! link, not loopback or the inside of a container host unless there is nothing else.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::interface::Interface;
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

/// Why an address is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It stands in `media.addresses`.
    Configured,
    /// A name in `media.addresses` stands for it.
    Resolved(String),
    /// The STUN server sees us there.
    Mapped,
    /// It is the one that is listened on.
    Listened,
    /// This interface has it.
    Interface(String),
}

/// An address of this machine that is not announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The address.
    pub ip: IpAddr,
    /// Its interface.
    pub interface: String,
    /// Why.
    pub why: WhyNot,
}

/// Why an address is not announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhyNot {
    /// It is valid on its link only.
    LinkLocal,
    /// Only this machine reaches it; clients on this machine are told.
    Loopback,
    /// It belongs to a network inside this machine.
    Bridge,
    /// `media.interfaces` has others.
    NotChosen,
    /// The socket for media does not listen there.
    NotListened,
    /// There are too many.
    Surplus,
}

/// Something that is not as it was configured. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// A name can't be resolved.
    #[error(
        "`media.addresses` has the name {name}, which can't be resolved ({error}); mend the name or write the address"
    )]
    Unresolved {
        /// The name.
        name: String,
        /// What the resolver said.
        error: String,
    },
    /// The STUN server's name can't be resolved, or it can't be sent to.
    #[error(
        "the STUN server of `media.stun` can't be asked ({error}); mend the name, or write the public address into `media.addresses`"
    )]
    NoStunServer {
        /// What went wrong.
        error: String,
    },
    /// The STUN server tells no address.
    #[error(
        "the STUN server of `media.stun` tells no address: {error}; allow UDP to it, choose another, or write the public address into `media.addresses`"
    )]
    NoMapping {
        /// What went wrong.
        error: super::stun::BindingError,
    },
    /// The NAT gives us another port.
    #[error(
        "the NAT shows the media port {local} as {mapped}; forward UDP port {local} to this machine, or clients can't reach it"
    )]
    OtherPort {
        /// The port of media.
        local: u16,
        /// The port that the STUN server saw.
        mapped: u16,
    },
    /// No interface fits an entry.
    #[error(
        "`media.interfaces` has {0}, but no interface that is up has that name or address; take it out or bring the interface up"
    )]
    NoInterface(String),
    /// Only clients on this machine can reach us.
    #[error(
        "clients on other machines can't reach media: only loopback is announced; bring an interface up or set `media.addresses`"
    )]
    OnlyLoopback,
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

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured => f.write_str("from `media.addresses`"),
            Self::Resolved(name) => write!(f, "{name}, from `media.addresses`"),
            Self::Mapped => f.write_str("the public address, as the STUN server sees it"),
            Self::Listened => f.write_str("listened on"),
            Self::Interface(name) => write!(f, "interface {name}"),
        }
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LinkLocal => "valid on its link only",
            Self::Loopback => "told only to clients on this machine",
            Self::Bridge => "a network inside this machine",
            Self::NotChosen => "not in `media.interfaces`",
            Self::NotListened => "not listened on",
            Self::Surplus => "too many addresses",
        })
    }
}

#[cfg(test)]
mod tests;
