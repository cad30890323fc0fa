//! The offers of a peer, and what it reads of answers.

use std::fmt::Write as _;
use std::net::SocketAddr;

use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;

/// What a peer offers.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) direction: &'static str,
    pub(crate) setup: Setup,
    pub(crate) profiles: Vec<SrtpProtectionProfile>,
    pub(crate) rtx: bool,
    pub(crate) audio: bool,
    pub(crate) codec: &'static str,
}

/// What the peer says of its role in DTLS (RFC 5763, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setup {
    /// The server may choose; ours lets the peer begin.
    ActPass,
    /// The server must begin.
    Passive,
}

/// What an answer says.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) ufrag: String,
    pub(crate) pwd: String,
    /// The first candidate.
    pub(crate) server: SocketAddr,
    /// Whether the peer sends the ClientHello.
    pub(crate) peer_begins: bool,
    media: Vec<MediaAnswer>,
}

/// One media section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MediaAnswer {
    kind: String,
    pub(crate) payload_type: u8,
    pub(crate) rtx_payload_type: Option<u8>,
    /// The server's, when it sends.
    pub(crate) ssrc: u32,
    pub(crate) rtx_ssrc: Option<u32>,
    /// The ids that were agreed on, by their URI.
    pub(crate) extensions: Vec<(u8, String)>,
}

impl Options {
    /// Sends H264 and Opus.
    pub(crate) fn publisher() -> Self {
        Self {
            direction: "sendonly",
            setup: Setup::ActPass,
            profiles: vec![
                SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
                SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
            ],
            rtx: true,
            audio: true,
            codec: "H264",
        }
    }

    /// Receives H264 and Opus.
    pub(crate) fn subscriber() -> Self {
        Self {
            direction: "recvonly",
            ..Self::publisher()
        }
    }

    pub(crate) fn offer(&self, fingerprint: &str) -> String {
        let bundle = if self.audio { "0 1" } else { "0" };
        let mut offer = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {bundle}\r\n"
        );
        let formats = if self.rtx { "102 103" } else { "102" };
        self.section(&mut offer, 0, "video", formats, fingerprint);
        let _ = write!(offer, "a=rtpmap:102 {}/90000\r\n", self.codec);
        if self.codec == "H264" {
            offer.push_str(
                "a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n",
            );
        }
        offer.push_str("a=rtcp-fb:102 nack\r\na=rtcp-fb:102 nack pli\r\na=rtcp-fb:102 ccm fir\r\n");
        if self.rtx {
            offer.push_str("a=rtpmap:103 rtx/90000\r\na=fmtp:103 apt=102\r\n");
        }
        if self.audio {
            self.section(&mut offer, 1, "audio", "111", fingerprint);
            offer.push_str("a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 nack\r\n");
        }
        offer
    }

    /// The answer to an offer of the server: takes all of it.
    pub(crate) fn answer(&self, offer: &str, fingerprint: &str) -> String {
        const OURS_ALONE: [&str; 9] = [
            "i=",
            "a=candidate:",
            "a=end-of-candidates",
            "a=ice-lite",
            "a=ice-ufrag:",
            "a=ice-pwd:",
            "a=fingerprint:",
            "a=ssrc",
            "a=msid",
        ];
        let mut answer = String::new();
        for line in offer.lines() {
            if OURS_ALONE.iter().any(|name| line.starts_with(name)) || line == "a=rtcp-mux-only" {
                continue;
            }
            match line {
                "a=sendonly" => answer.push_str("a=recvonly"),
                "a=setup:actpass" => {
                    let _ = write!(
                        answer,
                        "a=setup:active\r\na=ice-ufrag:peer\r\na=ice-pwd:the-password-of-a-peer-1\r\n\
                         a=fingerprint:sha-256 {fingerprint}"
                    );
                }
                _ => answer.push_str(line),
            }
            answer.push_str("\r\n");
        }
        answer
    }

    fn section(&self, offer: &mut String, mid: u8, kind: &str, formats: &str, fingerprint: &str) {
        let setup = match self.setup {
            Setup::ActPass => "actpass",
            Setup::Passive => "passive",
        };
        let _ = write!(
            offer,
            "m={kind} 9 UDP/TLS/RTP/SAVPF {formats}\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\n\
             a={direction}\r\na=ice-ufrag:peer\r\na=ice-pwd:the-password-of-a-peer-1\r\n\
             a=fingerprint:sha-256 {fingerprint}\r\na=setup:{setup}\r\na=rtcp-mux\r\na=rtcp-rsize\r\n",
            direction = self.direction,
        );
    }
}

impl Answer {
    pub(super) fn parse(text: &str) -> Self {
        let candidate = value(text, "a=candidate:").expect("the answer has a candidate");
        let fields: Vec<_> = candidate.split(' ').collect();
        let (ufrag, pwd) = credentials(text);
        Self {
            ufrag,
            pwd,
            server: SocketAddr::new(fields[4].parse().unwrap(), fields[5].parse().unwrap()),
            // To an offer that leaves the choice, a peer answers that it begins.
            peer_begins: value(text, "a=setup:") != Some("active"),
            media: text.split("m=").skip(1).map(MediaAnswer::parse).collect(),
        }
    }

    /// The first media section of a kind.
    pub(crate) fn media(&self, kind: &str) -> &MediaAnswer {
        self.media.iter().find(|media| media.kind == kind).unwrap()
    }
}

impl MediaAnswer {
    fn parse(section: &str) -> Self {
        let line = section.lines().next().unwrap_or_default();
        let mut fields = line.split(' ');
        let kind = fields.next().unwrap_or_default().to_owned();
        let mut payload_types = fields.skip(2).map(|field| field.parse().unwrap());
        let mut ssrcs = section
            .lines()
            .filter_map(|line| line.strip_prefix("a=ssrc:"))
            .map(|rest| rest.split(' ').next().unwrap().parse().unwrap());
        let extensions = section
            .lines()
            .filter_map(|line| line.strip_prefix("a=extmap:")?.split_once(' '))
            .map(|(id, uri)| {
                let id = id.split('/').next().unwrap_or_default();
                (id.parse().unwrap(), uri.to_owned())
            });
        Self {
            kind,
            payload_type: payload_types.next().unwrap(),
            rtx_payload_type: payload_types.next(),
            ssrc: ssrcs.next().unwrap_or_default(),
            rtx_ssrc: ssrcs.next(),
            extensions: extensions.collect(),
        }
    }
}

/// The user name fragment and password of an answer or a fragment.
pub(super) fn credentials(text: &str) -> (String, String) {
    let find = |name| value(text, name).unwrap().to_owned();
    (find("a=ice-ufrag:"), find("a=ice-pwd:"))
}

fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}
