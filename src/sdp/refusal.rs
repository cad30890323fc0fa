//! Why an offer that can be read can't be served, in words for the one who made it.

use std::fmt;

use super::media_section::{Direction, MediaSection};
use super::payload_format::PayloadFormat;
use crate::rtp::{Codec, MediaKind};

/// A well-formed offer that can't be served (HTTP 422). It is refused as a whole: a client that
/// gets an answer gets all that it offered (RFC 9725, section 4.2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// WHIP without anything to receive.
    #[error("the offer has no audio or video m-line; add a track to the peer connection")]
    NothingPublished,
    /// WHIP with an m-line that doesn't send.
    #[error(
        "the {kind} m-line is {}; a publisher offers sendonly", .direction.as_str()
    )]
    NotSending {
        /// What the m-line is for.
        kind: MediaKind,
        /// What it offers.
        direction: Direction,
    },
    /// WHEP without an m-line that receives.
    #[error("no audio or video m-line of the offer receives; a viewer offers recvonly")]
    NothingReceived,
    /// WHEP with m-lines of kinds that the stream doesn't have.
    #[error("the stream has no track for any m-line of the offer; it has {0} only")]
    NoTrack(MediaKinds),
    /// WHIP with two m-lines of one kind.
    #[error("the offer has more than one {0} m-line; publish one audio and one video track")]
    TwoOfAKind(MediaKind),
    /// WHIP without a codec that we take.
    #[error("the {kind} m-line offers {offered}; this server takes {accepted}: enable one of them")]
    NoCommonCodec {
        /// What the m-line is for.
        kind: MediaKind,
        /// What it offers.
        offered: CodecList,
        /// What we take.
        accepted: CodecList,
    },
    /// WHEP without the codec of a track.
    #[error(
        "this stream sends {sent}; the {kind} m-line of your offer has {offered}: \
         use a player that takes {codec}, or publish another codec"
    )]
    CodecNotReceived {
        /// What the m-line is for.
        kind: MediaKind,
        /// The track's codec.
        codec: Codec,
        /// The same with its parameters.
        sent: CodecList,
        /// What the m-line offers.
        offered: CodecList,
    },
    /// Media without DTLS-SRTP.
    #[error("the {kind} m-line is not UDP/TLS/RTP/SAVPF; only encrypted media is taken")]
    NotEncrypted {
        /// What the m-line is for.
        kind: MediaKind,
    },
    /// RTCP on a port of its own.
    #[error("the {kind} m-line has no a=rtcp-mux; RTP and RTCP must share one port")]
    NoRtcpMux {
        /// What the m-line is for.
        kind: MediaKind,
    },
    /// Media sections with transports of their own.
    #[error(
        "the {kind} m-line is not in a=group:BUNDLE; set the bundle policy to max-bundle, \
         so that all m-lines share one transport"
    )]
    NotBundled {
        /// What the m-line is for.
        kind: MediaKind,
    },
    /// A DTLS role that leaves none for us.
    #[error("a=setup:holdconn can't work; offer a=setup:actpass")]
    Setup,
    /// Nobody would send connectivity checks.
    #[error("the offer has a=ice-lite, as this server has; one side must be a full ICE agent")]
    IceLite,
    /// The answer has no room in what clients read.
    #[error(
        "the answer would have {bytes} bytes, over the {max} that all clients read; offer less"
    )]
    AnswerTooLong {
        /// What it would have.
        bytes: usize,
        /// What it may have.
        max: usize,
    },
}

/// The codecs of an m-line or of a policy, each once, for a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodecList(Vec<String>);

impl CodecList {
    /// Longer lists are cut: a message is read by people.
    const MAX: usize = 12;

    /// What a media section offers. `detailed` codecs are told apart by their parameters.
    pub(super) fn offered(section: &MediaSection, detailed: Option<Codec>) -> Self {
        let mut list = Self::default();
        for format in &section.formats {
            let name = format.name.as_str();
            if name.is_empty()
                || AUXILIARY
                    .iter()
                    .any(|other| other.eq_ignore_ascii_case(name))
            {
                continue;
            }
            list.push(match format.codec {
                Some(codec) if Some(codec) == detailed => describe(codec, format),
                Some(codec) => codec.name().to_owned(),
                None => name.chars().take(32).collect(),
            });
        }
        list
    }

    pub(super) fn of(codecs: impl IntoIterator<Item = Codec>) -> Self {
        let mut list = Self::default();
        for codec in codecs {
            list.push(codec.name().to_owned());
        }
        list
    }

    pub(super) fn one(description: String) -> Self {
        Self(vec![description])
    }

    fn push(&mut self, name: String) {
        if self.0.len() < Self::MAX && !self.0.contains(&name) {
            self.0.push(name);
        }
    }
}

impl fmt::Display for CodecList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no codec");
        }
        f.write_str(&self.0.join(", "))
    }
}

/// The kinds of a stream's tracks, for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaKinds(pub(super) Vec<MediaKind>);

impl fmt::Display for MediaKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|kind| kind.as_str()).collect();
        f.write_str(&names.join(" and "))
    }
}

/// Formats that repair or accompany media and carry none of their own.
const AUXILIARY: [&str; 7] = [
    "rtx",
    "red",
    "ulpfec",
    "flexfec",
    "flexfec-03",
    "CN",
    "telephone-event",
];

fn describe(codec: Codec, format: &PayloadFormat) -> String {
    super::codec_choice::describe(codec, &format.fmtp)
}
