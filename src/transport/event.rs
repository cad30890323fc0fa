//! What a transport tells its caller.

use super::Path;

/// What a datagram held for the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// An RTP packet: it is `datagram[..len]` now.
    Rtp {
        /// Bytes of the packet.
        len: usize,
    },
    /// A compound RTCP packet: it is `datagram[..len]` now.
    Rtcp {
        /// Bytes of the packet.
        len: usize,
    },
    /// It was for the transport itself, or was dropped.
    Nothing,
}

/// What the caller must know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Datagrams by this path belong to the session from now on.
    PathValidated(Path),
    /// They don't any more: the peer has used too many others since.
    PathForgotten(Path),
    /// [`Transport::path`](super::Transport::path) is this one now.
    PathChanged(Path),
    /// ICE and DTLS are done, and the peer is who its SDP said. Media flows.
    Connected,
    /// The transport is of no use any more. It is the last event; none comes for
    /// [`Transport::close`](super::Transport::close).
    Closed(CloseReason),
}

/// Why a transport ended by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// ICE or DTLS took too long.
    #[error(
        "the peer did not connect in time; check that its UDP packets or its TCP connection reach this server"
    )]
    ConnectTimeout,
    /// The peer fell silent.
    #[error("nothing came from the peer for too long")]
    ConsentExpired,
    /// The peer's certificate is not the one of its SDP.
    #[error("the peer's DTLS certificate does not match the fingerprint of its SDP")]
    FingerprintMismatch,
    /// The DTLS handshake failed: an alert, or nothing in common.
    #[error("the DTLS handshake with the peer failed")]
    HandshakeFailed,
    /// The peer offered no SRTP profile of ours.
    #[error("the peer offers neither AEAD_AES_128_GCM nor AES128_CM_HMAC_SHA1_80 for SRTP")]
    NoSrtpProfile,
    /// The peer closed DTLS.
    #[error("the peer closed the connection")]
    PeerClosed,
    /// The crypto provider failed.
    #[error("the crypto provider failed")]
    Crypto,
}

/// What was dropped, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// STUN messages that were malformed or not authentic.
    pub stun_unauthenticated: u64,
    /// Authentic STUN requests that were refused, for a conflict of roles.
    pub stun_refused: u64,
    /// DTLS and media by paths without a successful check.
    pub foreign_path: u64,
    /// Media from before the keys.
    pub early_media: u64,
    /// DTLS datagrams without anything of use, or beyond the budget of a handshake.
    pub dtls_dropped: u64,
    /// SRTP and SRTCP that was malformed or not authentic.
    pub srtp_unauthenticated: u64,
    /// SRTP and SRTCP that came before or too late.
    pub srtp_replayed: u64,
    /// Datagrams of no protocol of ours.
    pub unknown: u64,
}
