//! How an MP4 describes its samples to a decoder: `avc1`, `hvc1`, `av01`, `vp08`, `vp09` and `Opus`.
//!
//! Pure.

use mp4_atom::{
    Audio, Av01, Av1c, Avc1, Avcc, AvccExt, Codec as Entry, Dops, Hvc1, HvcCArray, Hvcc, Opus,
    Visual, Vp08, Vp09, VpcC,
};

use super::depayload::Sample;
use super::picture;
use crate::rtp::Codec;
use crate::rtp::picture::Picture;

/// The parameter sets of a keyframe, which go into the header.
pub(super) fn parameter_sets(codec: Codec, sample: &Sample) -> Vec<Vec<u8>> {
    let Sample::Nals(nals) = sample else {
        return Vec::new();
    };
    nals.iter()
        .filter(|nal| match (codec, nal.first()) {
            (Codec::H264, Some(first)) => matches!(first & 0x1f, 7 | 8),
            (Codec::H265, Some(first)) => matches!((first >> 1) & 0x3f, 32..=34),
            _ => false,
        })
        .cloned()
        .collect()
}

/// The description of a track's samples. `None` when the keyframe does not hold what it needs.
pub(super) fn sample_entry(codec: Codec, picture: &Picture, sample: &Sample) -> Option<Entry> {
    let visual = Visual {
        data_reference_index: 1,
        width: picture.width,
        height: picture.height,
        ..Visual::default()
    };
    let sets = parameter_sets(codec, sample);
    Some(match codec {
        Codec::H264 => avc1(visual, picture, &sets)?.into(),
        Codec::H265 => hvc1(visual, picture, &sets)?.into(),
        Codec::Av1 => Av01 {
            visual,
            av1c: Av1c {
                seq_profile: picture.profile,
                seq_level_idx_0: picture.level,
                seq_tier_0: picture.tier,
                high_bitdepth: picture.bit_depth > 8,
                twelve_bit: picture.bit_depth == 12,
                chroma_subsampling_x: picture.chroma != 3,
                chroma_subsampling_y: picture.chroma == 1,
                config_obus: picture::sequence_header_of(sample)?,
                ..Av1c::default()
            },
            btrt: None,
            ccst: None,
            colr: None,
            pasp: None,
            taic: None,
            spatial: None,
        }
        .into(),
        Codec::Vp8 => Vp08 {
            visual,
            vpcc: VpcC::default(),
            btrt: None,
            colr: None,
            pasp: None,
            spatial: None,
        }
        .into(),
        Codec::Vp9 => Vp09 {
            visual,
            vpcc: VpcC {
                profile: picture.profile,
                // Not told in the stream; 4.1 holds for 1080p at 60 frames a second.
                level: 41,
                bit_depth: picture.bit_depth,
                chroma_subsampling: match picture.chroma {
                    3 => 3,
                    2 => 2,
                    _ => 1,
                },
                ..VpcC::default()
            },
            btrt: None,
            colr: None,
            pasp: None,
            spatial: None,
        }
        .into(),
        Codec::Opus => Opus {
            audio: Audio {
                data_reference_index: 1,
                channel_count: 2,
                sample_size: 16,
                sample_rate: 48_000.into(),
            },
            dops: Dops {
                output_channel_count: 2,
                pre_skip: 0,
                input_sample_rate: 48_000,
                output_gain: 0,
                channel_mapping: None,
            },
            btrt: None,
        }
        .into(),
        _ => return None,
    })
}

fn avc1(visual: Visual, picture: &Picture, sets: &[Vec<u8>]) -> Option<Avc1> {
    let of = |kind: u8| -> Vec<Vec<u8>> {
        sets.iter()
            .filter(|set| set.first().is_some_and(|first| first & 0x1f == kind))
            .cloned()
            .collect()
    };
    let (sps, pps) = (of(7), of(8));
    let mut avcc = Avcc::new(sps.first()?, pps.first()?).ok()?;
    avcc.sequence_parameter_sets = sps;
    avcc.picture_parameter_sets = pps;
    if !matches!(picture.profile, 66 | 77 | 88) {
        avcc.ext = Some(AvccExt {
            chroma_format: picture.chroma,
            bit_depth_luma: picture.bit_depth,
            bit_depth_chroma: picture.bit_depth,
            sequence_parameter_sets_ext: Vec::new(),
        });
    }
    Some(Avc1 {
        visual,
        avcc,
        btrt: None,
        colr: None,
        pasp: None,
        taic: None,
        fiel: None,
        spatial: None,
    })
}

fn hvc1(visual: Visual, picture: &Picture, sets: &[Vec<u8>]) -> Option<Hvc1> {
    let arrays: Vec<HvcCArray> = (32..=34)
        .map(|kind| HvcCArray {
            completeness: true,
            nal_unit_type: kind,
            nalus: sets
                .iter()
                .filter(|set| set.first().is_some_and(|first| (first >> 1) & 0x3f == kind))
                .cloned()
                .collect(),
        })
        .collect();
    if arrays.iter().any(|array| array.nalus.is_empty()) {
        return None;
    }
    let profile = &picture.hevc_profile;
    Some(Hvc1 {
        visual,
        hvcc: Hvcc {
            configuration_version: 1,
            general_profile_space: profile[0] >> 6,
            general_tier_flag: picture.tier,
            general_profile_idc: picture.profile,
            general_profile_compatibility_flags: profile[1..5].try_into().ok()?,
            general_constraint_indicator_flags: profile[5..11].try_into().ok()?,
            general_level_idc: picture.level,
            chroma_format_idc: picture.chroma,
            bit_depth_luma_minus8: picture.bit_depth.saturating_sub(8),
            bit_depth_chroma_minus8: picture.bit_depth.saturating_sub(8),
            num_temporal_layers: 1,
            temporal_id_nested: true,
            length_size_minus_one: 3,
            arrays,
            ..Hvcc::default()
        },
        lhvc: None,
        btrt: None,
        colr: None,
        pasp: None,
        taic: None,
        fiel: None,
        ccst: None,
        spatial: None,
    })
}
