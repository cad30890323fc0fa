//! The bytes of CMAF: init segments and fragments of one track each (ISO/IEC 23000-19).
//!
//! Pure: what is cut where is decided by [`segmenter`](super::segmenter).

use bytes::Bytes;
use mp4_atom::{
    Codec, Dinf, Dref, DrefEntry, Encode, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Mfhd, Minf, Moof, Moov,
    Mvex, Mvhd, Smhd, Stbl, Stco, Stsd, Tfdt, Tfhd, Tkhd, Traf, Trak, Trex, Trun, TrunEntry, Url,
    Vmhd,
};

use super::Format;
use crate::rtp::MediaKind;

/// One sample of a fragment, in ticks of the track's timescale.
#[derive(Clone, Debug)]
pub struct FragmentSample {
    /// How long until the next sample.
    pub duration: u32,
    /// Presentation time minus decode time.
    pub composition_offset: i32,
    /// A decoder can begin here.
    pub keyframe: bool,
    /// The coded bytes.
    pub data: Bytes,
}

/// A box could not be written: a number is too large for its field.
#[derive(Debug, thiserror::Error)]
#[error(
    "the MP4 boxes of a segment can't be written ({0}); report this with the publisher's codec settings"
)]
pub struct BoxError(#[from] mp4_atom::Error);

/// The init segment of a track.
///
/// # Errors
///
/// [`BoxError`] when the format has values that MP4 can't hold.
pub fn init_segment(format: &Format) -> Result<Bytes, BoxError> {
    let (video, audio) = (
        format.kind == MediaKind::Video,
        format.kind == MediaKind::Audio,
    );
    let mdia = Mdia {
        mdhd: Mdhd {
            timescale: format.timescale,
            language: "und".into(),
            ..Mdhd::default()
        },
        hdlr: Hdlr {
            handler: FourCC::new(if video { b"vide" } else { b"soun" }),
            name: format.kind.to_string(),
        },
        minf: Minf {
            vmhd: video.then(Vmhd::default),
            smhd: audio.then(Smhd::default),
            dinf: Dinf {
                dref: Dref {
                    entries: vec![DrefEntry::Url(Url::default())],
                },
            },
            stbl: sample_table(format.entry.clone()),
            ..Minf::default()
        },
    };
    let tkhd = Tkhd {
        track_id: TRACK,
        enabled: true,
        in_movie: true,
        volume: u8::from(audio).into(),
        width: format.size.0.into(),
        height: format.size.1.into(),
        ..Tkhd::default()
    };
    let moov = Moov {
        mvhd: Mvhd {
            timescale: 1000,
            rate: 1.into(),
            volume: 1.into(),
            next_track_id: TRACK + 1,
            ..Mvhd::default()
        },
        mvex: Some(Mvex {
            trex: vec![Trex {
                track_id: TRACK,
                default_sample_description_index: 1,
                ..Trex::default()
            }],
            ..Mvex::default()
        }),
        trak: vec![Trak {
            tkhd,
            mdia,
            ..Trak::default()
        }],
        ..Moov::default()
    };
    let ftyp = Ftyp {
        major_brand: FourCC::new(b"cmfc"),
        minor_version: 0,
        compatible_brands: [b"iso6", b"cmfc", b"mp41"].map(FourCC::new).to_vec(),
    };
    let mut bytes = Vec::with_capacity(1024);
    ftyp.encode(&mut bytes)?;
    moov.encode(&mut bytes)?;
    Ok(bytes.into())
}

/// A fragment: one `moof` with its `mdat`. `decode_time` is that of the first sample, in ticks.
///
/// # Errors
///
/// [`BoxError`] when a size or offset does not fit its field.
pub fn fragment(
    sequence: u32,
    decode_time: u64,
    samples: &[FragmentSample],
) -> Result<Bytes, BoxError> {
    let reordered = samples.iter().any(|sample| sample.composition_offset != 0);
    let entries: Vec<_> = samples
        .iter()
        .map(|sample| TrunEntry {
            duration: Some(sample.duration),
            size: u32::try_from(sample.data.len()).ok(),
            flags: Some(if sample.keyframe {
                SYNC_SAMPLE
            } else {
                DEPENDENT_SAMPLE
            }),
            cts: reordered.then(|| sample.composition_offset.into()),
        })
        .collect();
    let trun = Trun {
        data_offset: Some(0),
        samples: entries.into(),
    };
    let tfhd = Tfhd {
        track_id: TRACK,
        default_base_is_moof: true,
        ..Tfhd::default()
    };
    let tfdt = Some(Tfdt {
        base_media_decode_time: decode_time,
    });
    let mut moof = Moof {
        mfhd: Mfhd {
            sequence_number: sequence,
        },
        traf: vec![Traf {
            tfhd,
            tfdt,
            trun: vec![trun],
            ..Traf::default()
        }],
    };
    let payload: usize = samples.iter().map(|sample| sample.data.len()).sum();
    let mut bytes = Vec::with_capacity(128 + 16 * samples.len() + payload);
    moof.encode(&mut bytes)?;
    // Where the data is depends on the length of the boxes before it, and that not on the offset's value.
    let header = bytes.len() + MDAT_HEADER;
    moof.traf[0].trun[0].data_offset = i32::try_from(header).ok();
    bytes.clear();
    moof.encode(&mut bytes)?;
    let mdat = u32::try_from(payload + MDAT_HEADER).map_err(|_| mp4_atom::Error::InvalidSize)?;
    bytes.extend_from_slice(&mdat.to_be_bytes());
    bytes.extend_from_slice(b"mdat");
    for sample in samples {
        bytes.extend_from_slice(&sample.data);
    }
    Ok(bytes.into())
}

/// Every rendition is a file of its own with one track.
const TRACK: u32 = 1;
const MDAT_HEADER: usize = 8;
/// Sample flags (ISO/IEC 14496-12, section 8.8.3.1): depends on no other.
const SYNC_SAMPLE: u32 = 0x0200_0000;
/// Depends on others, and is no sync sample.
const DEPENDENT_SAMPLE: u32 = 0x0101_0000;

fn sample_table(entry: Codec) -> Stbl {
    Stbl {
        stsd: Stsd {
            codecs: vec![entry],
        },
        stco: Some(Stco::default()),
        ..Stbl::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mp4_atom::{Any, Decode};

    #[test]
    fn an_init_segment_reads_back() {
        let bytes = init_segment(&Format::opus(2)).unwrap();
        let mut rest = &bytes[..];
        assert!(matches!(Any::decode(&mut rest).unwrap(), Any::Ftyp(_)));
        let Any::Moov(moov) = Any::decode(&mut rest).unwrap() else {
            panic!("no moov");
        };
        assert!(rest.is_empty() && moov.mvex.is_some());
        assert_eq!(moov.trak[0].mdia.mdhd.timescale, 48_000);
        assert!(matches!(
            moov.trak[0].mdia.minf.stbl.stsd.codecs[0],
            Codec::Opus(_)
        ));
    }

    #[test]
    fn a_fragment_points_at_its_data() {
        let sample = |data: &'static [u8], keyframe| FragmentSample {
            duration: 3000,
            composition_offset: if keyframe { 3000 } else { -1500 },
            keyframe,
            data: Bytes::from_static(data),
        };
        let bytes = fragment(7, 1 << 40, &[sample(b"key", true), sample(b"delta", false)]).unwrap();
        let mut rest = &bytes[..];
        let Any::Moof(moof) = Any::decode(&mut rest).unwrap() else {
            panic!("no moof");
        };
        let traf = &moof.traf[0];
        assert_eq!(moof.mfhd.sequence_number, 7);
        assert_eq!(traf.tfdt.as_ref().unwrap().base_media_decode_time, 1 << 40);
        let offset = usize::try_from(traf.trun[0].data_offset.unwrap()).unwrap();
        assert_eq!(&bytes[offset..], b"keydelta");
        let entries: Vec<_> = traf.trun[0].samples.iter().collect();
        assert_eq!(entries[1].cts, Some(-1500));
        assert_eq!(entries[0].flags, Some(SYNC_SAMPLE));
        assert_eq!((entries[0].size, entries[1].size), (Some(3), Some(5)));
    }
}
