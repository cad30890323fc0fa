//! The offers that are sent: a good one, and one for each thing that can be wrong with it.
//!
//! Pure, apart from the random credentials. No peer stands behind these offers: they are for what the
//! server says, not for media.

use std::fmt::Write as _;

use rand::RngExt as _;

use super::rule::Protocol;
use super::sdp::Description;

/// The name of a codec that nobody has.
const NO_CODEC: &str = "TIDEGATE-CHECK/90000";
/// More than any server needs to take, in bytes.
const TOO_LARGE: usize = 4 << 20;

/// What is special about an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Case {
    // Nothing but how it is sent.
    OtherSpelling,
    WrongType,
    // Legal, and to be served.
    WithoutVideo,
    MdnsCandidate,
    UnknownAttributes,
    SetupActive,
    SetupPassive,
    // No SDP.
    Empty,
    Garbage,
    Binary,
    TooLarge,
    // SDP that can't be served.
    WrongDirection,
    Inactive,
    TwoVideos,
    NoCommonCodec,
    OneUnknownCodec,
    NoMedia,
    ShortUfrag,
    ShortPassword,
    NoCredentials,
    NoFingerprint,
    BadFingerprint,
}

impl Case {
    pub(super) const ALL: [Self; 22] = [
        Self::OtherSpelling,
        Self::WrongType,
        Self::WithoutVideo,
        Self::MdnsCandidate,
        Self::UnknownAttributes,
        Self::SetupActive,
        Self::SetupPassive,
        Self::Empty,
        Self::Garbage,
        Self::Binary,
        Self::TooLarge,
        Self::WrongDirection,
        Self::Inactive,
        Self::TwoVideos,
        Self::NoCommonCodec,
        Self::OneUnknownCodec,
        Self::NoMedia,
        Self::ShortUfrag,
        Self::ShortPassword,
        Self::NoCredentials,
        Self::NoFingerprint,
        Self::BadFingerprint,
    ];

    /// The content type that it is sent with.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::WrongType => "text/plain",
            Self::OtherSpelling => "Application/SDP; charset=utf-8",
            _ => "application/sdp",
        }
    }

    /// What is sent.
    pub(super) fn body(self, protocol: Protocol) -> Vec<u8> {
        let mut offer = Offer::new(protocol);
        match self {
            Self::OtherSpelling | Self::WrongType => {}
            Self::WithoutVideo => offer.sections.retain(|section| section.kind == "audio"),
            Self::MdnsCandidate => offer.candidates.push(
                "1 1 udp 2113937151 0c0ffee0-1234-4abc-8def-00000c0ffee0.local 54321 typ host"
                    .to_owned(),
            ),
            Self::UnknownAttributes => offer.unknown = true,
            Self::SetupActive => offer.setup = "active",
            Self::SetupPassive => offer.setup = "passive",
            Self::Empty => return Vec::new(),
            Self::Garbage => return b"hello, this is not a session description\r\n".to_vec(),
            Self::Binary => return (0..=255).cycle().take(600).collect(),
            Self::TooLarge => {
                let mut text = offer.text();
                text.reserve(TOO_LARGE);
                while text.len() < TOO_LARGE {
                    text.push_str("a=x-tidegate-check:filling that no server needs to keep\r\n");
                }
                return text.into_bytes();
            }
            Self::WrongDirection => {
                offer.direction = match protocol {
                    Protocol::Whip => "recvonly",
                    Protocol::Whep => "sendonly",
                }
            }
            Self::Inactive => offer.direction = "inactive",
            Self::TwoVideos => offer.sections.push(Section::video()),
            Self::NoCommonCodec => {
                for section in &mut offer.sections {
                    section.make_unknown();
                }
            }
            Self::OneUnknownCodec => offer.sections[0].make_unknown(),
            Self::NoMedia => offer.sections.clear(),
            Self::ShortUfrag => offer.ufrag = Some("abc".to_owned()),
            Self::ShortPassword => offer.password = Some("tooshort".to_owned()),
            Self::NoCredentials => (offer.ufrag, offer.password) = (None, None),
            Self::NoFingerprint => offer.fingerprint = None,
            Self::BadFingerprint => offer.fingerprint = Some("sha-256 AA:BB:nonsense".to_owned()),
        }
        offer.text().into_bytes()
    }
}

/// An offer before it is text.
pub(super) struct Offer {
    pub(super) direction: &'static str,
    pub(super) setup: &'static str,
    pub(super) ufrag: Option<String>,
    pub(super) password: Option<String>,
    fingerprint: Option<String>,
    candidates: Vec<String>,
    sections: Vec<Section>,
    unknown: bool,
}

struct Section {
    kind: &'static str,
    formats: Vec<(u8, &'static str, &'static str)>,
}

/// Random text of the characters that ICE allows (RFC 8839, section 5.4).
pub(super) fn ice_text(len: usize) -> String {
    const CHARS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut rng = rand::rng();
    (0..len)
        .map(|_| char::from(CHARS[rng.random_range(0..CHARS.len())]))
        .collect()
}

impl Offer {
    /// A good one: audio and video, every codec that servers commonly have, no candidates.
    pub(super) fn new(protocol: Protocol) -> Self {
        Self {
            direction: match protocol {
                Protocol::Whip => "sendonly",
                Protocol::Whep => "recvonly",
            },
            setup: "actpass",
            ufrag: Some(ice_text(8)),
            password: Some(ice_text(24)),
            fingerprint: Some(fingerprint()),
            candidates: Vec::new(),
            sections: vec![Section::audio(), Section::video()],
            unknown: false,
        }
    }

    pub(super) fn text(&self) -> String {
        let mids: String = (0..self.sections.len())
            .map(|mid| format!(" {mid}"))
            .collect();
        let number: u32 = rand::rng().random();
        let mut text = format!(
            "v=0\r\no=- {number} 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE{mids}\r\n"
        );
        text.push_str("a=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n");
        if self.unknown {
            text.push_str("a=x-tidegate-check:1\r\na=group:LS 0\r\n");
        }
        for (mid, section) in self.sections.iter().enumerate() {
            self.write(&mut text, mid, section);
        }
        text
    }

    fn write(&self, text: &mut String, mid: usize, section: &Section) {
        let formats: String = section
            .formats
            .iter()
            .map(|(number, ..)| format!(" {number}"))
            .collect();
        let mut line = |line: &str| {
            text.push_str(line);
            text.push_str("\r\n");
        };
        line(&format!("m={} 9 UDP/TLS/RTP/SAVPF{formats}", section.kind));
        line("c=IN IP4 0.0.0.0");
        line("a=rtcp:9 IN IP4 0.0.0.0");
        for (name, value) in [("ice-ufrag", &self.ufrag), ("ice-pwd", &self.password)] {
            if let Some(value) = value {
                line(&format!("a={name}:{value}"));
            }
        }
        line("a=ice-options:trickle");
        if let Some(fingerprint) = &self.fingerprint {
            line(&format!("a=fingerprint:{fingerprint}"));
        }
        line(&format!("a=setup:{}", self.setup));
        line(&format!("a=mid:{mid}"));
        line("a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid");
        line(&format!("a={}", self.direction));
        if self.direction == "sendonly" {
            line(&format!("a=msid:tidegate-check {}", section.kind));
        }
        line("a=rtcp-mux");
        if self.unknown {
            line("a=x-tidegate-check-media:1");
            line("a=extmap:13 urn:x-tidegate:nothing");
        }
        if section.kind == "video" {
            line("a=rtcp-rsize");
        }
        for (number, codec, parameters) in &section.formats {
            line(&format!("a=rtpmap:{number} {codec}"));
            if !parameters.is_empty() {
                line(&format!("a=fmtp:{number} {parameters}"));
            }
            if section.kind == "video" && !codec.starts_with("rtx") {
                for feedback in ["nack", "nack pli", "ccm fir"] {
                    line(&format!("a=rtcp-fb:{number} {feedback}"));
                }
            }
        }
        for candidate in &self.candidates {
            line(&format!("a=candidate:{candidate}"));
        }
    }
}

impl Section {
    fn audio() -> Self {
        Self {
            kind: "audio",
            formats: vec![
                (111, "opus/48000/2", "minptime=10;useinbandfec=1"),
                (9, "G722/8000", ""),
                (0, "PCMU/8000", ""),
                (8, "PCMA/8000", ""),
            ],
        }
    }

    fn video() -> Self {
        const H264: &str = "H264/90000";
        Self {
            kind: "video",
            formats: vec![
                (96, "VP8/90000", ""),
                (97, "rtx/90000", "apt=96"),
                (
                    102,
                    H264,
                    "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f",
                ),
                (103, "rtx/90000", "apt=102"),
                (
                    106,
                    H264,
                    "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
                ),
                (107, "rtx/90000", "apt=106"),
                (
                    112,
                    H264,
                    "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f",
                ),
                (113, "rtx/90000", "apt=112"),
                (
                    104,
                    H264,
                    "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f",
                ),
                (105, "rtx/90000", "apt=104"),
                (98, "VP9/90000", "profile-id=0"),
                (99, "rtx/90000", "apt=98"),
                (45, "AV1/90000", ""),
                (46, "rtx/90000", "apt=45"),
                (116, "H265/90000", ""),
                (117, "rtx/90000", "apt=116"),
            ],
        }
    }

    fn make_unknown(&mut self) {
        self.formats = vec![(120, NO_CODEC, "")];
    }
}

/// An answer to a counter-offer: every section is taken, with the codecs that are offered.
pub(super) fn answer_to(offer: &Description) -> String {
    let (ufrag, password, fingerprint) = (ice_text(8), ice_text(24), fingerprint());
    let mids = offer.bundle().unwrap_or_default().join(" ");
    let mut text =
        format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {mids}\r\n");
    for section in &offer.media {
        let formats = section.formats.join(" ");
        let setup = match offer.inherited(section, "setup") {
            Some("active") => "passive",
            _ => "active",
        };
        let _ = write!(
            text,
            "m={} 9 {} {formats}\r\nc=IN IP4 0.0.0.0\r\na=mid:{}\r\na=recvonly\r\na=rtcp-mux\r\n\
             a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\na=fingerprint:{fingerprint}\r\n\
             a=setup:{setup}\r\n",
            section.kind,
            section.protocol,
            section.attribute("mid").unwrap_or_default(),
        );
        for name in ["rtpmap", "fmtp", "rtcp-fb"] {
            for value in section.attributes(name) {
                let _ = write!(text, "a={name}:{value}\r\n");
            }
        }
    }
    text
}

/// A fingerprint of no certificate.
fn fingerprint() -> String {
    let hash: [u8; 32] = rand::rng().random();
    let mut text = "sha-256 ".to_owned();
    for (index, byte) in hash.iter().enumerate() {
        let colon = if index == 0 { "" } else { ":" };
        let _ = write!(text, "{colon}{byte:02X}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::sdp::Description;
    use super::*;

    fn description(case: Case, protocol: Protocol) -> Description {
        let body = String::from_utf8(case.body(protocol)).unwrap();
        Description::parse(&body).unwrap()
    }

    #[test]
    fn the_good_offer_is_whole() {
        for (protocol, direction) in [(Protocol::Whip, "sendonly"), (Protocol::Whep, "recvonly")] {
            let offer = description(Case::WrongType, protocol);
            assert_eq!(offer.bundle(), Some(vec!["0", "1"]));
            for section in &offer.media {
                assert_eq!(offer.direction(section), direction);
                for name in [
                    "ice-ufrag",
                    "ice-pwd",
                    "fingerprint",
                    "setup",
                    "rtcp-mux",
                    "mid",
                ] {
                    assert!(section.attribute(name).is_some(), "{name}");
                }
                for format in &section.formats {
                    assert!(section.codec(format).is_some(), "{format}");
                }
            }
            assert!(
                crate::sdp::Offer::parse(
                    &Case::WrongType.body(protocol),
                    &crate::sdp::Limits::default()
                )
                .is_ok()
            );
        }
    }

    #[test]
    fn each_case_changes_what_it_says() {
        let whip = |case| description(case, Protocol::Whip);
        assert_eq!(whip(Case::TwoVideos).media.len(), 3);
        assert_eq!(whip(Case::WithoutVideo).media.len(), 1);
        assert_eq!(whip(Case::NoMedia).media.len(), 0);
        let first = |case| whip(case).media[0].clone();
        assert_eq!(first(Case::ShortUfrag).attribute("ice-ufrag"), Some("abc"));
        assert!(
            first(Case::ShortPassword)
                .attribute("ice-pwd")
                .unwrap()
                .len()
                < 22
        );
        assert_eq!(first(Case::NoFingerprint).attribute("fingerprint"), None);
        assert_eq!(first(Case::NoCredentials).attribute("ice-ufrag"), None);
        assert_eq!(first(Case::SetupActive).attribute("setup"), Some("active"));
        assert_eq!(whip(Case::MdnsCandidate).candidates().len(), 2);
        assert!(Case::TooLarge.body(Protocol::Whip).len() >= TOO_LARGE);
        assert!(String::from_utf8(Case::Binary.body(Protocol::Whep)).is_err());
    }

    #[test]
    fn directions_are_wrong_for_the_protocol() {
        let direction = |protocol| {
            let offer = description(Case::WrongDirection, protocol);
            offer.direction(&offer.media[0]).to_owned()
        };
        assert_eq!(direction(Protocol::Whip), "recvonly");
        assert_eq!(direction(Protocol::Whep), "sendonly");
    }
}
