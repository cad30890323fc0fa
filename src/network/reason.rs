//! Why an address is announced or not, and what is not as it was configured. Pure.

use std::fmt;
use std::net::IpAddr;

use super::stun::BindingError;

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
        error: BindingError,
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
