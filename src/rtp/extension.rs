//! RTP header extensions (RFC 8285): which ones we know, and the ids that a session gave them.

use std::time::Duration;

/// A header extension that Tidegate reads or passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Extension {
    /// The `mid` of the media section (RFC 8843, section 15).
    Mid,
    /// The simulcast layer of a packet (RFC 8852).
    RtpStreamId,
    /// The simulcast layer that a retransmission repairs (RFC 8852).
    RepairedRtpStreamId,
    /// A send time of 24 bits, 6.18 fixed point seconds.
    AbsSendTime,
    /// The transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    TransportSequenceNumber,
    /// The audio level of a packet (RFC 6464).
    AudioLevel,
    /// The rotation of the picture (3GPP TS 26.114).
    VideoOrientation,
    /// When the frame was captured, on the publisher's clock.
    AbsCaptureTime,
    /// The playout delay that the publisher asks for.
    PlayoutDelay,
    /// What kind of picture it is (screen or camera).
    VideoContentType,
    /// The colour space of the picture.
    ColorSpace,
    /// AV1's dependency descriptor, used by other codecs too.
    DependencyDescriptor,
}

impl Extension {
    /// How many extensions there are.
    pub const COUNT: usize = 12;

    /// Every extension, by its number.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Mid,
        Self::RtpStreamId,
        Self::RepairedRtpStreamId,
        Self::AbsSendTime,
        Self::TransportSequenceNumber,
        Self::AudioLevel,
        Self::VideoOrientation,
        Self::AbsCaptureTime,
        Self::PlayoutDelay,
        Self::VideoContentType,
        Self::ColorSpace,
        Self::DependencyDescriptor,
    ];

    /// The URI that names it in `a=extmap`.
    pub fn uri(self) -> &'static str {
        match self {
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Self::RtpStreamId => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Self::RepairedRtpStreamId => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            Self::AbsSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Self::TransportSequenceNumber => {
                "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
            }
            Self::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::VideoOrientation => "urn:3gpp:video-orientation",
            Self::AbsCaptureTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
            Self::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            Self::VideoContentType => {
                "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type"
            }
            Self::ColorSpace => "http://www.webrtc.org/experiments/rtp-hdrext/color-space",
            Self::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
        }
    }

    /// The extension that a URI names.
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|extension| extension.uri() == uri)
    }

    /// Whether its value means the same to a subscriber as it did to us, so that it is passed on.
    /// The others belong to one hop: ids of one session's SDP, or clocks of one transport.
    pub fn is_end_to_end(self) -> bool {
        match self {
            Self::AudioLevel
            | Self::VideoOrientation
            | Self::AbsCaptureTime
            | Self::PlayoutDelay
            | Self::VideoContentType
            | Self::ColorSpace
            | Self::DependencyDescriptor => true,
            Self::Mid
            | Self::RtpStreamId
            | Self::RepairedRtpStreamId
            | Self::AbsSendTime
            | Self::TransportSequenceNumber => false,
        }
    }
}

/// The ids that one media section of a session gave to the extensions: 1 to 255, 0 is "not negotiated".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionMap {
    ids: [u8; Extension::COUNT],
}

impl ExtensionMap {
    /// Gives `extension` an id. Id 0 takes it away; 15 is reserved in the one-byte form (RFC 8285, section 4.2).
    pub fn set(&mut self, extension: Extension, id: u8) {
        self.ids[extension as usize] = id;
    }

    /// The id of `extension`, when it was negotiated.
    pub fn id(&self, extension: Extension) -> Option<u8> {
        match self.ids[extension as usize] {
            0 => None,
            id => Some(id),
        }
    }

    /// The extension that has this id.
    pub fn extension(&self, id: u8) -> Option<Extension> {
        Extension::ALL
            .into_iter()
            .find(|extension| id != 0 && self.ids[*extension as usize] == id)
    }

    /// The negotiated extensions with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (Extension, u8)> + '_ {
        Extension::ALL
            .into_iter()
            .filter_map(|extension| self.id(extension).map(|id| (extension, id)))
    }
}

/// The least and the most that a player is to wait before it shows a frame.
///
/// On the wire 12 bits each in units of 10 ms
/// (<http://www.webrtc.org/experiments/rtp-hdrext/playout-delay>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayoutDelay {
    min: u16,
    max: u16,
}

impl PlayoutDelay {
    /// What a value of the extension can say at most.
    pub const MAX: Duration = Duration::from_millis(0xFFF * Self::UNIT);

    const UNIT: u64 = 10;

    /// Both are rounded down to 10 ms. None when `min` is more than `max`, or that more than [`Self::MAX`].
    pub fn new(min: Duration, max: Duration) -> Option<Self> {
        let units = |time: Duration| (time.as_millis() / u128::from(Self::UNIT)) as u16;
        (min <= max && max <= Self::MAX).then(|| Self {
            min: units(min),
            max: units(max),
        })
    }

    /// The least.
    pub fn min(self) -> Duration {
        Duration::from_millis(u64::from(self.min) * Self::UNIT)
    }

    /// The most.
    pub fn max(self) -> Duration {
        Duration::from_millis(u64::from(self.max) * Self::UNIT)
    }

    /// The value of the extension.
    pub fn to_bytes(self) -> [u8; 3] {
        let (min, max) = (self.min & 0xFFF, self.max & 0xFFF);
        let [high, low] = max.to_be_bytes();
        [(min >> 4) as u8, (min << 4) as u8 | high, low]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_uri_leads_back_to_its_extension() {
        for (number, extension) in Extension::ALL.into_iter().enumerate() {
            assert_eq!(extension as usize, number);
            assert_eq!(Extension::from_uri(extension.uri()), Some(extension));
        }
    }

    #[test]
    fn a_playout_delay_takes_twelve_bits_for_each_end() {
        let delay = |min, max| {
            let [min, max] = [min, max].map(Duration::from_millis);
            PlayoutDelay::new(min, max).map(PlayoutDelay::to_bytes)
        };
        assert_eq!(delay(0, 0), Some([0, 0, 0]));
        assert_eq!(delay(100, 400), Some([0x00, 0xA0, 0x28]));
        assert_eq!(delay(40_950, 40_950), Some([0xFF, 0xFF, 0xFF]));
        assert_eq!(delay(200, 100), None);
        assert_eq!(delay(0, 40_960), None);
    }

    #[test]
    fn an_id_that_nobody_has_names_nothing() {
        let mut map = ExtensionMap::default();
        assert_eq!(map.extension(0), None);
        map.set(Extension::Mid, 4);
        assert_eq!(map.extension(4), Some(Extension::Mid));
        assert_eq!(map.id(Extension::AudioLevel), None);
        assert_eq!(map.iter().collect::<Vec<_>>(), [(Extension::Mid, 4)]);
    }
}
