//! Redundant audio (RFC 2198) beside Opus: which payload type of a description it is.
//!
//! Browsers offer it as `red/48000/2`. Of two payload types that carry the same sound, the first of an answer is the
//! one that they send.

use super::answer::Local;
use super::payload_format::PayloadFormat;
use crate::rtp::Codec;

/// The payload type that carries `format` with redundancy, where we want that and `formats` have one.
pub(super) fn wanted<'a>(
    local: &Local<'_>,
    formats: &'a [PayloadFormat],
    format: &PayloadFormat,
) -> Option<&'a PayloadFormat> {
    red_of(formats, format).filter(|_| local.audio_redundancy)
}

/// The payload type among `formats` that carries `format` with redundancy. One whose blocks may be of another payload
/// type is not taken, nor one that does not say that it has the channels of Opus.
pub(super) fn red_of<'a>(
    formats: &'a [PayloadFormat],
    format: &PayloadFormat,
) -> Option<&'a PayloadFormat> {
    if format.codec != Some(Codec::Opus) {
        return None;
    }
    formats.iter().find(|red| {
        red.name.eq_ignore_ascii_case("red")
            && red.clock_rate == format.clock_rate
            && red.channels == Some(format.channel_count())
            && red.can_be_muxed()
            && carries_only(&red.fmtp, format.payload_type)
    })
}

/// A payload type that carries `format`, which is of Opus, with redundancy: the packet before each in the same one.
pub(super) fn format_of(format: &PayloadFormat, payload_type: u8) -> PayloadFormat {
    PayloadFormat {
        payload_type,
        name: "red".to_owned(),
        codec: None,
        fmtp: format!("{0}/{0}", format.payload_type),
        ..format.clone()
    }
}

/// Section 5: the payload types of the blocks, the primary one first, with slashes between.
fn carries_only(fmtp: &str, payload_type: u8) -> bool {
    let mut blocks = fmtp.split('/').map(|block| block.trim().parse());
    fmtp.contains('/') && blocks.all(|block| block == Ok(payload_type))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::MediaKind;

    fn found(rtpmap: &str, payload_type: u8, fmtp: &str) -> bool {
        let format = |payload_type, rtpmap, fmtp: &str| {
            let mut format = PayloadFormat::new(payload_type);
            format.set_rtpmap(rtpmap).unwrap();
            format.fmtp = fmtp.to_owned();
            format.identify(MediaKind::Audio);
            format
        };
        let opus = format(111, "opus/48000/2", "minptime=10");
        let formats = [opus.clone(), format(payload_type, rtpmap, fmtp)];
        red_of(&formats, &opus).is_some()
    }

    #[test]
    fn it_is_taken_where_it_carries_opus_alone() {
        assert!(found("red/48000/2", 63, "111/111"));
        assert!(found("RED/48000/2", 63, "111/111/111"));
        for fmtp in ["", "111", "111/0", "0/111", "111/", "x/y"] {
            assert!(!found("red/48000/2", 63, fmtp), "{fmtp}");
        }
    }

    #[test]
    fn what_does_not_say_that_it_is_like_opus_is_not_taken() {
        for rtpmap in ["red/48000", "red/8000/2", "red/48000/1", "opus/48000/2"] {
            assert!(!found(rtpmap, 63, "111/111"), "{rtpmap}");
        }
        // It could not be told from RTCP.
        assert!(!found("red/48000/2", 72, "111/111"));
    }
}
