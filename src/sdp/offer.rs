//! An SDP offer, read and checked on its own: whether it can be served is decided by
//! [`super::publish`] and [`super::subscribe`].

use super::description::{Description, DescriptionError};
use super::media_section::MediaSection;
use super::session::{Fingerprint, IceCredentials};
use super::text::Limits;
use super::transport_attributes::Setup;

/// Why a body is no offer.
pub type OfferError = DescriptionError;

/// A well-formed offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its media sections, in order; at least one.
    pub media: Vec<MediaSection>,
    /// The mids of its first BUNDLE group (RFC 8843), empty when it has none.
    pub bundle: Vec<String>,
    /// The client's credentials for the bundle.
    pub ice: IceCredentials,
    /// The client's certificate.
    pub fingerprint: Fingerprint,
    /// The DTLS roles that the client can take.
    pub setup: Setup,
    /// `a=ice-lite`: the client sends no checks.
    pub ice_lite: bool,
    /// `a=ice-options:trickle`: candidates may follow.
    pub trickle: bool,
    /// `a=extmap-allow-mixed` (RFC 8285, section 6).
    pub extmap_allow_mixed: bool,
}

impl Offer {
    /// Reads an offer.
    ///
    /// # Errors
    ///
    /// See [`DescriptionError`]; the first mistake is named.
    pub fn parse(body: &[u8], limits: &Limits) -> Result<Self, OfferError> {
        let description = Description::parse(body, limits)?;
        Ok(Self {
            media: description.media,
            bundle: description.bundle,
            ice: description.ice,
            fingerprint: description.fingerprint,
            // What an offer must say (RFC 8842, section 5.2).
            setup: description.setup.unwrap_or(Setup::Actpass),
            ice_lite: description.ice_lite,
            trickle: description.trickle,
            extmap_allow_mixed: description.extmap_allow_mixed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::{Codec, Extension, MediaKind};
    use crate::sdp::{TextError, TransportError, fixtures};

    const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
    const ICE: &str = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n";
    const FINGERPRINT: &str = "a=fingerprint:sha-256 12:FB:DB:4B:51:F6:FB:B4:F9:5F:98:7B:42:08:87:E9:DF:61:D7:CB:CB:4D:1B:12:4D:1A:74:D5:A0:AB:05:EE\r\n";
    const AUDIO: &str =
        "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\n";

    fn parse(body: &str) -> Result<Offer, OfferError> {
        Offer::parse(body.as_bytes(), &Limits::default())
    }

    /// The error of a sound offer with `lines` at its end.
    fn with(lines: &str) -> OfferError {
        parse(&format!("{HEAD}{ICE}{FINGERPRINT}{AUDIO}{lines}\r\n")).unwrap_err()
    }

    #[test]
    fn every_captured_offer_is_read() {
        for fixture in fixtures::offers("wh") {
            let offer = fixture.offer();
            assert_eq!(offer.media.len(), 2, "{}", fixture.name);
            assert_eq!(offer.bundle.len(), 2, "{}", fixture.name);
            for section in &offer.media {
                assert!(section.has_mid && section.rtcp_mux && !section.is_disabled);
                assert!(section.formats.iter().any(|format| format.codec.is_some()));
            }
        }
    }

    #[test]
    fn a_browsers_offer_keeps_its_order_and_its_pairs() {
        let offer = fixtures::offer("whip-chromium-156").offer();
        let video = offer
            .media
            .iter()
            .find(|section| section.kind == Some(MediaKind::Video))
            .unwrap();
        let first = &video.formats[0];
        assert_eq!(first.codec, Some(Codec::Vp8));
        assert!(first.feedback.nack && first.feedback.pli && first.feedback.fir);
        assert_eq!(video.rtx_of(first.payload_type), Some(97));
        assert_eq!(video.rtx_of(127), None);
        assert!(video.extension(Extension::Mid).is_some());
        assert!(offer.extmap_allow_mixed && offer.trickle);
    }

    #[test]
    fn simulcast_is_kept() {
        let offer = fixtures::offer("whip-firefox-153-simulcast-vp8").offer();
        let video = &offer.media[1];
        let rids: Vec<_> = video.send_rids.iter().map(|rid| &rid.id).collect();
        assert_eq!(rids, ["l", "m", "h"]);
        assert_eq!(video.simulcast_send.as_deref(), Some("l;m;h"));
        assert_eq!(video.fid_groups.len(), 3);
        assert_eq!(video.ssrcs.len(), 6);
    }

    #[test]
    fn the_sha_256_one_of_several_fingerprints_counts() {
        let offer = fixtures::offer("whep-aiortc-1.16").offer();
        assert!(offer.fingerprint.to_string().starts_with("B7:C3:92:3C"));
    }

    #[test]
    fn sections_without_a_name_get_one() {
        let video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n";
        let offer = parse(&format!("{HEAD}{ICE}{FINGERPRINT}{video}{AUDIO}{video}")).unwrap();
        let mids: Vec<_> = offer.media.iter().map(|section| &section.mid).collect();
        assert_eq!(mids, ["1", "0", "2"]);
        assert!(!offer.media[0].has_mid && offer.media[1].has_mid);
    }

    #[test]
    fn port_zero_disables_only_what_is_not_bundled() {
        let video = "m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n";
        let sections = format!("{ICE}{FINGERPRINT}{AUDIO}{video}");
        let disabled = |body: String| parse(&body).unwrap().media[1].is_disabled;
        assert!(disabled(format!("{HEAD}{sections}")));
        assert!(!disabled(format!("{HEAD}{sections}a=bundle-only\r\n")));
        assert!(!disabled(format!("{HEAD}a=group:BUNDLE 0 1\r\n{sections}")));
    }

    #[test]
    fn a_body_that_is_no_offer_is_named_so() {
        assert_eq!(parse(""), Err(OfferError::NotSdp));
        assert_eq!(parse("v=1\r\n"), Err(OfferError::NotSdp));
        assert_eq!(parse("o=x\r\nv=0\r\n"), Err(OfferError::NotSdp));
        assert_eq!(parse(HEAD), Err(OfferError::NoMedia));
        let error = parse("{\"type\":\"offer\"}").unwrap_err();
        assert_eq!(error, OfferError::Text(TextError::NotALine { line: 1 }));
        let error = Offer::parse(b"v=0\n\xff", &Limits::default()).unwrap_err();
        assert_eq!(error, OfferError::Text(TextError::NotUtf8));
    }

    #[test]
    fn malformed_lines_are_named() {
        for lines in [
            "m=video",
            "m=video 9",
            "m=video 9 RTP/AVP",
            "m=video x RTP/AVP 96",
            "m=",
        ] {
            assert_eq!(with(lines), OfferError::MediaLine { line: 11 }, "{lines}");
        }
        for payload_type in ["128", "256", "-1", "x", "96a"] {
            let line = format!("m=video 9 UDP/TLS/RTP/SAVPF 96 {payload_type}");
            assert_eq!(with(&line), OfferError::PayloadType { line: 11 });
        }
        for line in [
            "a=rtpmap:111",
            "a=rtpmap:128 opus/48000",
            "a=rtpmap:111 opus",
            "a=rtpmap:111 /48000",
            "a=rtpmap:111 opus/48000/x",
            "a=fmtp:x a=b",
            "a=fmtp:111",
            "a=rtcp-fb:111",
            "a=extmap:1",
            "a=extmap:x urn:x",
            "a=extmap:1/both urn:x",
            "a=ssrc:-1 cname:x",
            "a=ssrc:",
            "a=ssrc:4294967296 cname:x",
            "a=ssrc-group:FID 1",
            "a=rid:h",
            "a=simulcast:send",
            "a=mid:1",
        ] {
            let error = with(line);
            let OfferError::Attribute {
                line: 11,
                attribute,
            } = &error
            else {
                panic!("{line}: {error}");
            };
            assert!(line[2..].starts_with(attribute.as_str()));
        }
        for mid in ["", "a b", "ä", &"m".repeat(65)] {
            let error = with(&format!("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:{mid}"));
            assert!(
                matches!(error, OfferError::Attribute { line: 12, .. }),
                "{mid}"
            );
        }
    }

    #[test]
    fn a_name_is_given_once() {
        let error = with("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0");
        assert_eq!(error, OfferError::DuplicateMid("0".to_owned()));
    }

    #[test]
    fn transports_that_could_never_connect_are_refused() {
        let pwd = "a=ice-pwd:0123456789012345678901\r\n";
        let transport = |lines: &str| {
            let Err(OfferError::Transport(error)) = parse(&format!("{HEAD}{AUDIO}{lines}")) else {
                panic!("{lines}");
            };
            error
        };
        let length = |attribute, length, min| TransportError::IceLength {
            attribute,
            length,
            min,
        };
        for (lines, error) in [
            (
                FINGERPRINT.to_owned(),
                TransportError::MissingIce("ice-ufrag"),
            ),
            (
                format!("{FINGERPRINT}{pwd}"),
                TransportError::MissingIce("ice-ufrag"),
            ),
            (
                format!("{FINGERPRINT}a=ice-ufrag:abcd"),
                TransportError::MissingIce("ice-pwd"),
            ),
            (
                format!("{FINGERPRINT}a=ice-ufrag:abc\r\n{pwd}"),
                length("ice-ufrag", 3, 4),
            ),
            (
                format!("{FINGERPRINT}a=ice-ufrag:{}\r\n{pwd}", "a".repeat(257)),
                length("ice-ufrag", 257, 4),
            ),
            (
                format!("{FINGERPRINT}a=ice-ufrag:abcd\r\na=ice-pwd:012345678901234567890"),
                length("ice-pwd", 21, 22),
            ),
            (
                format!("{FINGERPRINT}a=ice-ufrag:ab:d\r\n{pwd}"),
                TransportError::IceCharacter("ice-ufrag"),
            ),
            (ICE.to_owned(), TransportError::MissingFingerprint),
            (
                format!("{ICE}a=fingerprint:sha-1 12:FB"),
                TransportError::MissingFingerprint,
            ),
            (
                format!("{ICE}a=fingerprint:sha-256"),
                TransportError::Fingerprint,
            ),
            (
                format!("{ICE}a=fingerprint:sha-256 12:FB"),
                TransportError::Fingerprint,
            ),
            (
                format!("{ICE}{}:00", FINGERPRINT.trim_end()),
                TransportError::Fingerprint,
            ),
            (
                format!("{ICE}{}", FINGERPRINT.replace("12:FB", "+2:FB")),
                TransportError::Fingerprint,
            ),
            (
                format!(
                    "{ICE}{FINGERPRINT}{}",
                    FINGERPRINT.replace("12:FB", "13:FB")
                ),
                TransportError::ConflictingFingerprint,
            ),
            (
                format!("{ICE}{FINGERPRINT}a=setup:both"),
                TransportError::Setup,
            ),
        ] {
            assert_eq!(transport(&lines), error, "{lines}");
        }
    }

    #[test]
    fn bundled_sections_share_one_transport() {
        let video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n";
        let bundle = "a=group:BUNDLE 0 1\r\n";
        let offer = |bundle: &str, lines: &str| {
            parse(&format!(
                "{HEAD}{bundle}{AUDIO}{ICE}{FINGERPRINT}{video}{lines}"
            ))
        };
        for (lines, error) in [
            ("a=ice-ufrag:other\r\n", TransportError::ConflictingIce),
            (
                "a=ice-pwd:other678901234567890123456\r\n",
                TransportError::ConflictingIce,
            ),
        ] {
            assert_eq!(
                offer(bundle, lines).unwrap_err(),
                OfferError::Transport(error)
            );
            assert!(offer("", lines).is_ok(), "not bundled, so not this error");
        }
        assert!(
            offer(bundle, "").is_ok(),
            "a bundled section may leave them out"
        );
        let setups = "a=setup:active\r\na=setup:passive\r\n";
        let conflict = parse(&format!(
            "{HEAD}{bundle}{AUDIO}{ICE}{FINGERPRINT}a=setup:active\r\n{video}a=setup:passive\r\n"
        ));
        assert_eq!(
            conflict.unwrap_err(),
            OfferError::Transport(TransportError::ConflictingSetup)
        );
        assert_eq!(offer("", setups).unwrap().setup, Setup::Actpass);
    }

    #[test]
    fn hostile_sizes_fail_before_they_are_read() {
        let sections = AUDIO.lines().next().unwrap().to_owned() + "\r\n";
        for (body, error) in [
            (
                format!("{HEAD}{}", "m=a 9 x 1\n".repeat(5_000)),
                TextError::TooManyMediaSections(32),
            ),
            (
                format!("{HEAD}{}", "a=x\n".repeat(10_000)),
                TextError::TooManyLines(2000),
            ),
            (
                format!("{HEAD}{}", sections.repeat(10_000)),
                TextError::TooManyBytes(65_536),
            ),
            (
                "v=0\n".to_owned() + &"a".repeat(10_000_000),
                TextError::TooManyBytes(65_536),
            ),
        ] {
            assert_eq!(parse(&body).unwrap_err(), OfferError::Text(error));
        }
    }
}
