//! What a rendition is coded in: its sample entry, its `CODECS` value, its clock.
//!
//! Made once per codec configuration; a change of it needs a new init segment.

use bytes::Bytes;
use mp4_atom::{
    Atom, Audio, Av01, Avc1, Avcc, Codec, Dops, Esds, Hvc1, Hvcc, Mp4a, Opus, Visual, Vp09, VpcC,
};

use mp4_atom::esds::{DecoderConfig, DecoderSpecific, EsDescriptor, SLConfig};

use super::av1;
use crate::rtp::av1::SequenceHeader;
use crate::rtp::{MediaKind, obu, opus};

/// The coding of a rendition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// Audio or video.
    pub kind: MediaKind,
    /// The `CODECS` value (RFC 6381).
    pub codecs: String,
    /// Ticks a second of the track's clock.
    pub timescale: u32,
    /// Width and height of the picture; 0 for audio.
    pub size: (u16, u16),
    /// Audio channels; 0 for video.
    pub channels: u8,
    /// A frame of silence and how long it lasts (ns), to fill gaps of audio.
    pub silence: Option<(Bytes, i64)>,
    pub(super) entry: Codec,
}

/// Why a codec configuration could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The bytes are not what the codec's specification says.
    #[error(
        "the publisher's {0} configuration is malformed; restart the publisher, or set another encoder profile"
    )]
    Malformed(&'static str),
    /// The picture's size is not known or too large for MP4.
    #[error("the publisher's {0} picture has no usable size; set one of at most 65535 x 65535")]
    Size(&'static str),
}

impl Format {
    /// H.264, from an `avcC` record (ISO/IEC 14496-15, section 5.3.3).
    ///
    /// # Errors
    ///
    /// [`FormatError`] when the record or size is unusable.
    pub fn h264(avcc: &[u8], width: u32, height: u32) -> Result<Self, FormatError> {
        let avcc = Avcc::decode_body(&mut &avcc[..]).map_err(|_| FormatError::Malformed("H264"))?;
        let codecs = format!(
            "avc1.{:02x}{:02x}{:02x}",
            avcc.avc_profile_indication, avcc.profile_compatibility, avcc.avc_level_indication
        );
        let size = picture("H264", width, height)?;
        let visual = visual(size);
        let entry = Avc1 {
            visual,
            avcc,
            btrt: None,
            colr: None,
            pasp: None,
            taic: None,
            fiel: None,
            spatial: None,
        };
        Ok(Self::video(codecs, size, Codec::Avc1(entry)))
    }

    /// H.265, from an `hvcC` record (ISO/IEC 14496-15, section 8.3.3).
    ///
    /// # Errors
    ///
    /// [`FormatError`] when the record or size is unusable.
    pub fn h265(hvcc: &[u8], width: u32, height: u32) -> Result<Self, FormatError> {
        let hvcc = Hvcc::decode_body(&mut &hvcc[..]).map_err(|_| FormatError::Malformed("H265"))?;
        let codecs = h265_codecs(&hvcc);
        let size = picture("H265", width, height)?;
        let visual = visual(size);
        let entry = Hvc1 {
            visual,
            hvcc,
            ..Hvc1::default()
        };
        Ok(Self::video(codecs, size, Codec::Hvc1(entry)))
    }

    /// VP9. `subsampling` is the value of the VP codec configuration record: 1 is 4:2:0 colocated, 2 is
    /// 4:2:2, 3 is 4:4:4.
    ///
    /// # Errors
    ///
    /// [`FormatError`] when the size is unusable.
    pub fn vp9(
        profile: u8,
        bit_depth: u8,
        subsampling: u8,
        width: u32,
        height: u32,
    ) -> Result<Self, FormatError> {
        let size = picture("VP9", width, height)?;
        let level = vp9_level(width, height);
        let codecs = format!("vp09.{profile:02}.{level:02}.{bit_depth:02}");
        let vpcc = VpcC {
            profile,
            level,
            bit_depth,
            chroma_subsampling: subsampling,
            ..VpcC::default()
        };
        let visual = visual(size);
        let entry = Vp09 {
            visual,
            vpcc,
            btrt: None,
            colr: None,
            pasp: None,
            spatial: None,
        };
        Ok(Self::video(codecs, size, Codec::Vp09(entry)))
    }

    /// AV1, from the sequence header OBU that a keyframe begins with. Its pictures have the size that this tells, or
    /// `size` where that is known: of spatial layers the header tells the greatest, whatever comes.
    ///
    /// # Errors
    ///
    /// [`FormatError`] when there is none or the size is unusable.
    pub fn av1(temporal_unit: &[u8], size: Option<(u16, u16)>) -> Result<Self, FormatError> {
        const MALFORMED: FormatError = FormatError::Malformed("AV1");
        let (place, obu) = obu::sequence_header(temporal_unit).ok_or(MALFORMED)?;
        let header = SequenceHeader::read(obu.body).ok_or(MALFORMED)?;
        let most = picture("AV1", header.width, header.height)?;
        let size = size.unwrap_or(most);
        let entry = Av01 {
            visual: visual(size),
            av1c: av1::configuration(&header, &temporal_unit[place]),
            ..Av01::default()
        };
        Ok(Self::video(av1::codecs(&header), size, Codec::Av01(entry)))
    }

    /// Opus as WebRTC sends it: 48 kHz, mono or stereo, no header packet.
    pub fn opus(channels: u8) -> Self {
        let channels = channels.clamp(1, 2);
        let dops = Dops {
            output_channel_count: channels,
            pre_skip: 0,
            input_sample_rate: 48_000,
            output_gain: 0,
            channel_mapping: None,
        };
        Self {
            kind: MediaKind::Audio,
            codecs: "opus".into(),
            timescale: 48_000,
            size: (0, 0),
            channels,
            silence: Some((Bytes::from_static(opus::SILENCE), 20_000_000)),
            entry: Codec::Opus(Opus {
                audio: audio(channels, 48_000),
                dops,
                btrt: None,
            }),
        }
    }

    /// AAC-LC, from an AudioSpecificConfig (ISO/IEC 14496-3, section 1.6.2.1).
    ///
    /// # Errors
    ///
    /// [`FormatError::Malformed`] when it is not AAC-LC with a rate of the table.
    pub fn aac(config: &[u8]) -> Result<Self, FormatError> {
        let malformed = FormatError::Malformed("AAC");
        let [first, second, ..] = *config else {
            return Err(malformed);
        };
        let (profile, index, channels) =
            (first >> 3, (first & 7) << 1 | second >> 7, second >> 3 & 15);
        let rate = *AAC_RATES.get(usize::from(index)).ok_or(malformed)?;
        let rate = u16::try_from(rate).map_err(|_| malformed)?;
        if profile != 2 || !(1..=2).contains(&channels) {
            return Err(malformed);
        }
        let specific = DecoderSpecific {
            profile,
            freq_index: index,
            chan_conf: channels,
            ..DecoderSpecific::default()
        };
        let dec_config = DecoderConfig {
            object_type_indication: 0x40,
            stream_type: 5,
            dec_specific: Some(specific),
            ..DecoderConfig::default()
        };
        let es_desc = EsDescriptor {
            es_id: 1,
            dec_config,
            sl_config: SLConfig {},
            ..EsDescriptor::default()
        };
        let frame_ns = 1024 * 1_000_000_000 / i64::from(rate);
        // A channel pair element with nothing coded in it: 1024 samples of silence.
        let silence =
            (channels == 2).then(|| (Bytes::from_static(&[0x21, 0, 0, 0, 0, 0x1c]), frame_ns));
        Ok(Self {
            kind: MediaKind::Audio,
            codecs: "mp4a.40.2".into(),
            timescale: u32::from(rate),
            size: (0, 0),
            channels,
            silence,
            entry: Codec::Mp4a(Mp4a {
                audio: audio(channels, rate),
                esds: Esds { es_desc },
                btrt: None,
                taic: None,
            }),
        })
    }

    /// What decoders need beside the pictures: the record that [`Self::h264`] or [`Self::h265`] was made of.
    /// None for codecs whose pictures hold all.
    pub fn configuration(&self) -> Option<Vec<u8>> {
        let mut record = Vec::new();
        let encoded = match &self.entry {
            Codec::Avc1(entry) => entry.avcc.encode_body(&mut record),
            Codec::Hvc1(entry) => entry.hvcc.encode_body(&mut record),
            _ => return None,
        };
        encoded.ok().map(|()| record)
    }

    fn video(codecs: String, size: (u16, u16), entry: Codec) -> Self {
        let timescale = 90_000;
        Self {
            kind: MediaKind::Video,
            codecs,
            timescale,
            size,
            channels: 0,
            silence: None,
            entry,
        }
    }
}

/// Sampling rates by their index (ISO/IEC 14496-3, table 1.18); those above 65535 Hz do not fit a sample entry.
const AAC_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

fn picture(codec: &'static str, width: u32, height: u32) -> Result<(u16, u16), FormatError> {
    match (u16::try_from(width), u16::try_from(height)) {
        (Ok(width), Ok(height)) if width > 0 && height > 0 => Ok((width, height)),
        _ => Err(FormatError::Size(codec)),
    }
}

fn visual((width, height): (u16, u16)) -> Visual {
    Visual {
        data_reference_index: 1,
        width,
        height,
        ..Visual::default()
    }
}

fn audio(channels: u8, rate: u16) -> Audio {
    Audio {
        data_reference_index: 1,
        channel_count: channels.into(),
        sample_size: 16,
        sample_rate: rate.into(),
    }
}

/// ISO/IEC 14496-15, annex E.3.
fn h265_codecs(hvcc: &Hvcc) -> String {
    let space = match hvcc.general_profile_space {
        0 => "",
        1 => "A",
        2 => "B",
        _ => "C",
    };
    let compatibility = u32::from_be_bytes(hvcc.general_profile_compatibility_flags).reverse_bits();
    let tier = if hvcc.general_tier_flag { 'H' } else { 'L' };
    let (profile, level) = (hvcc.general_profile_idc, hvcc.general_level_idc);
    let mut codecs = format!("hvc1.{space}{profile}.{compatibility:X}.{tier}{level}");
    let constraints = hvcc.general_constraint_indicator_flags;
    let used = constraints
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    for byte in &constraints[..used] {
        codecs.push_str(&format!(".{byte:X}"));
    }
    codecs
}

/// The lowest level that allows the picture's area (VP9 bitstream specification, annex A), for 30 pictures a second.
fn vp9_level(width: u32, height: u32) -> u8 {
    let area = u64::from(width) * u64::from(height);
    const LEVELS: [(u64, u8); 7] = [
        (36_864, 10),
        (73_728, 11),
        (122_880, 20),
        (245_760, 21),
        (552_960, 30),
        (983_040, 31),
        (2_228_224, 41),
    ];
    LEVELS
        .iter()
        .find(|(max, _)| area <= *max)
        .map_or(if area <= 8_912_896 { 51 } else { 61 }, |(_, level)| *level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_follow_the_record() {
        let hvcc = Hvcc {
            general_profile_idc: 1,
            general_profile_compatibility_flags: [0x60, 0, 0, 0],
            general_constraint_indicator_flags: [0x90, 0, 0, 0, 0, 0],
            general_level_idc: 93,
            ..Hvcc::new()
        };
        assert_eq!(h265_codecs(&hvcc), "hvc1.1.6.L93.90");
        let avcc = [
            1, 0x42, 0xc0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x42, 0xc0, 0x1f, 1, 0, 2, 0x68, 0xce,
        ];
        let format = Format::h264(&avcc, 1280, 720).unwrap();
        assert_eq!(
            (format.codecs.as_str(), format.size),
            ("avc1.42c01f", (1280, 720))
        );
        assert_eq!(format.configuration().as_deref(), Some(&avcc[..]));
        assert_eq!(
            Format::vp9(0, 8, 1, 1280, 720).unwrap().codecs,
            "vp09.00.31.08"
        );
        // A sequence header of 640x480 in an OBU of its own.
        let unit = [
            0x0a, 11, 0x00, 0x00, 0x00, 0x24, 0xc4, 0xff, 0xdf, 0x00, 0x68, 0x02, 0x00,
        ];
        let format = Format::av1(&unit, None).unwrap();
        assert_eq!(
            (format.codecs.as_str(), format.size),
            ("av01.0.04M.08", (640, 480))
        );
        assert!(matches!(&format.entry, Codec::Av01(entry) if entry.av1c.config_obus == unit));
        assert_eq!(Format::aac(&[0x11, 0x90]).unwrap().timescale, 48_000);
    }

    #[test]
    fn bad_configurations_are_refused() {
        assert_eq!(
            Format::h264(&[1, 2], 1, 1),
            Err(FormatError::Malformed("H264"))
        );
        assert_eq!(Format::h265(&[], 1, 1), Err(FormatError::Malformed("H265")));
        assert_eq!(
            Format::vp9(0, 8, 1, 70_000, 1),
            Err(FormatError::Size("VP9"))
        );
        assert_eq!(Format::av1(&[], None), Err(FormatError::Malformed("AV1")));
        assert_eq!(Format::aac(&[0x11]), Err(FormatError::Malformed("AAC")));
    }
}
