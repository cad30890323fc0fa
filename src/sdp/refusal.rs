//! Why an offer that can be read can't be served, in words for the one who made it.

use std::fmt;

use super::media_section::Direction;
use super::payload_format::PayloadFormat;
use super::profile::describe;
use crate::rtp::{Codec, MediaKind};
use crate::stream::TrackInfo;

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
        "this stream sends {sent}; the {kind} m-line of your offer has {}: \
         use a player that takes {codec}, or publish in a codec that this one has", .offered.only()
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
    /// A DTLS role that offers may not have, unless it is allowed.
    #[error(
        "a=setup:passive is for answers; offer a=setup:actpass, \
         or have compatibility.passive_setup switched on"
    )]
    PassiveSetup,
    /// A DTLS role that leaves none for us.
    #[error("a=setup:holdconn can't work; offer a=setup:actpass")]
    Setup,
    /// Nobody would send connectivity checks.
    #[error("a=ice-lite can't work: this server has it too, and one side must be a full ICE agent")]
    IceLite,
    /// An answer with more or fewer m-lines than our offer.
    #[error(
        "the answer has {answered} m-lines where the offer has {offered}; \
         answer each m-line of the offer, in its order"
    )]
    AnswerSections {
        /// How many our offer has.
        offered: usize,
        /// How many the answer has.
        answered: usize,
    },
    /// An answer whose m-lines are not those of our offer.
    #[error(
        "the answer has another m-line where the offer has {kind} with a=mid:{mid}; \
         keep the order and the mids of the offer"
    )]
    AnswerOrder {
        /// What the m-line is for.
        kind: MediaKind,
        /// Its name in our offer.
        mid: String,
    },
    /// An answer that would send.
    #[error("the {kind} m-line of the answer is sendonly; a viewer answers recvonly")]
    NotReceiving {
        /// What the m-line is for.
        kind: MediaKind,
    },
    /// An answer without the codec that we offered.
    #[error(
        "this stream sends {sent}; the {kind} m-line of the answer has {}: answer with the payload \
         types of the offer, or reject the m-line with port 0", .answered.only()
    )]
    CodecNotAnswered {
        /// What the m-line is for.
        kind: MediaKind,
        /// The track's codec with its parameters.
        sent: CodecList,
        /// What the m-line answers.
        answered: CodecList,
    },
    /// An answer that rejects all that we offered.
    #[error("the answer takes nothing; answer recvonly to {0}, or send DELETE to end the session")]
    NothingAnswered(MediaKinds),
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

impl Refusal {
    pub(super) fn codec_not_received(track: &TrackInfo, formats: &[PayloadFormat]) -> Self {
        let codec = track.codec;
        Self::CodecNotReceived {
            kind: track.kind(),
            codec,
            sent: CodecList::sent(track),
            offered: CodecList::offered(formats, Some(codec)),
        }
    }
}

/// The codecs of an m-line or of a policy, each once, for a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodecList(Vec<String>);

impl CodecList {
    /// Longer lists are cut: a message is read by people.
    const MAX: usize = 12;

    /// What a media section has. `detailed` codecs are told apart by their parameters.
    pub(super) fn offered(formats: &[PayloadFormat], detailed: Option<Codec>) -> Self {
        let mut list = Self::default();
        for format in formats {
            let name = format.name.as_str();
            if name.is_empty()
                || AUXILIARY
                    .iter()
                    .any(|other| other.eq_ignore_ascii_case(name))
            {
                continue;
            }
            list.push(match format.codec {
                Some(codec) if Some(codec) == detailed => describe(codec, &format.fmtp),
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

    /// What a stream sends.
    pub(super) fn sent(track: &TrackInfo) -> Self {
        Self(vec![describe(track.codec, &track.fmtp)])
    }

    /// The list as all there is.
    fn only(&self) -> String {
        match &self.0[..] {
            [] => "no codec".to_owned(),
            [_, ..] => format!("{self} only"),
        }
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
pub struct MediaKinds(Vec<MediaKind>);

impl MediaKinds {
    pub(super) fn of(each: impl IntoIterator<Item = MediaKind>) -> Self {
        let mut kinds = Vec::new();
        for kind in each {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        Self(kinds)
    }
}

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
