//! What an offer and its answer agreed on, in the terms of the media path.

use std::fmt;

use crate::rtp::{ExtensionMap, MediaKind};
use crate::stream::{TrackId, TrackInfo};

/// The user name fragment and password of one side (RFC 8445, section 5.3).
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// 4 to 256 ice-chars.
    pub ufrag: String,
    /// 22 to 256 ice-chars.
    pub pwd: String,
}

impl fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IceCredentials(…)")
    }
}

/// The SHA-256 fingerprint of a DTLS certificate (RFC 8122).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    /// As in `a=fingerprint:sha-256 …`: upper-case hex with colons.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

/// Our role in the DTLS handshake (RFC 5763, section 5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DtlsRole {
    /// We answered `setup:active`: we send the ClientHello.
    Client,
    /// We answered `setup:passive`: we wait for it.
    Server,
}

/// The RTCP feedback that both sides agreed on for a track (RFC 4585, RFC 5104).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Feedback {
    /// `nack`
    pub nack: bool,
    /// `nack pli`
    pub pli: bool,
    /// `ccm fir`
    pub fir: bool,
    /// `transport-cc`
    pub transport_cc: bool,
    /// `goog-remb`
    pub remb: bool,
}

/// What a WHIP session receives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublisherSpec {
    /// The tracks, in the order of the offer; [`TrackInfo::id`] is the index.
    pub tracks: Vec<PublishedTrack>,
}

/// One m-line of a WHIP session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublishedTrack {
    /// What subscribers learn of it.
    pub info: TrackInfo,
    /// The `a=mid` of the m-line.
    pub mid: String,
    /// The payload type that media comes with.
    pub payload_type: u8,
    /// The payload type that it comes with in blocks of redundant audio (RFC 2198), when negotiated.
    pub red_payload_type: Option<u8>,
    /// The payload type of retransmissions (RFC 4588), when negotiated.
    pub rtx_payload_type: Option<u8>,
    /// What is sent at the same time, in the order of the offer; [`LayerId`](crate::stream::LayerId)
    /// is the index. At least one and at most
    /// [`LayerId::MAX_ENCODINGS`](crate::stream::LayerId::MAX_ENCODINGS).
    pub layers: Vec<PublishedLayer>,
    /// The header extension ids of the m-line.
    pub extensions: ExtensionMap,
    /// What we may send towards the publisher.
    pub feedback: Feedback,
}

/// One encoding of a track.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PublishedLayer {
    /// The name that its packets carry (RFC 8852); none where there is only one, without a name.
    pub rid: Option<String>,
    /// The SSRC that the offer announced for media (RFC 5576), when it did.
    pub ssrc: Option<u32>,
    /// The SSRC that the offer announced for retransmissions.
    pub rtx_ssrc: Option<u32>,
}

/// What a WHEP session sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubscriberSpec {
    /// The m-lines that carry something. Those of the offer without a track of the stream are `inactive`.
    pub tracks: Vec<SubscribedTrack>,
}

/// One m-line of a WHEP session that carries a track of the stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubscribedTrack {
    /// The track of the stream that it carries.
    pub track: TrackId,
    /// Audio or video.
    pub kind: MediaKind,
    /// The RTP clock rate in Hz.
    pub clock_rate: u32,
    /// The `a=mid` of the m-line.
    pub mid: String,
    /// The subscriber's payload type for media.
    pub payload_type: u8,
    /// The subscriber's payload type for media in blocks of redundant audio (RFC 2198), when negotiated. Packets are
    /// not retransmitted over RTX then.
    pub red_payload_type: Option<u8>,
    /// The subscriber's payload type for retransmissions, when negotiated.
    pub rtx_payload_type: Option<u8>,
    /// The SSRC that we send media with.
    pub ssrc: u32,
    /// The SSRC that we send retransmissions with; set exactly when `rtx_payload_type` is.
    pub rtx_ssrc: Option<u32>,
    /// The subscriber's header extension ids.
    pub extensions: ExtensionMap,
    /// What the subscriber may send to us.
    pub feedback: Feedback,
}
