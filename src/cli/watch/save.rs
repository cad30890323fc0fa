//! Writes what is watched into a file: MP4, IVF, an H.264 byte stream or Ogg, by the file's ending.
//!
//! Takes whole frames in order and never decodes. A file begins at a keyframe; frames that were lost
//! are missing in it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::depayload::{self, Sample};
use super::frame::Frame;
use super::mp4::Mp4;
use super::picture;
use super::verdict::Accepted;
use crate::rtp::Codec;

/// Why nothing is saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// An ending that names no format.
    #[error("can't save to {path}: end its name with .mp4, .ivf, .h264 or .ogg")]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// The file system said no.
    #[error("can't write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// A file that frames are written into.
pub(super) struct Saver {
    path: PathBuf,
    format: Format<BufWriter<File>>,
    /// Which kinds were left out, each told once.
    told: Vec<Codec>,
}

impl Saver {
    /// Creates the file, so that a wrong path is known before anything is watched.
    pub(super) fn create(path: &Path) -> Result<Self, SaveError> {
        let ending = path.extension().and_then(|ending| ending.to_str());
        let new: fn(BufWriter<File>) -> Format<BufWriter<File>> = match ending {
            Some("mp4") => |out| Format::Mp4(Box::new(Mp4::new(out))),
            Some("ivf") => |out| Format::Ivf(Ivf::new(out)),
            Some("h264") => |out| Format::AnnexB(AnnexB::new(out)),
            Some("ogg" | "opus") => |out| Format::Ogg(Ogg::new(out)),
            _ => {
                return Err(SaveError::Format {
                    path: path.to_owned(),
                });
            }
        };
        let file = File::create(path).map_err(|source| SaveError::Write {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            format: new(BufWriter::new(file)),
            told: Vec::new(),
        })
    }

    /// Tells which kinds to wait for before the tracks of an MP4 are fixed.
    pub(super) fn expect(&mut self, accepted: Accepted) {
        if let Format::Mp4(mp4) = &mut self.format {
            mp4.expect(accepted);
        }
    }

    /// Writes a frame, if the format can hold its codec.
    pub(super) fn write(&mut self, codec: Codec, frame: &Frame) -> Result<(), SaveError> {
        if !self.format.holds(codec) {
            if !self.told.contains(&codec) {
                self.told.push(codec);
                tracing::warn!(%codec, "this file format has no place for the codec: left out");
            }
            return Ok(());
        }
        let Some(sample) = depayload::assemble(codec, &frame.payloads) else {
            return Ok(());
        };
        let result = match &mut self.format {
            Format::Mp4(mp4) => mp4.write(codec, frame, sample),
            Format::Ivf(ivf) => ivf.write(codec, frame, &sample),
            Format::AnnexB(stream) => stream.write(frame, &sample),
            Format::Ogg(ogg) => ogg.write(frame, &sample),
        };
        result.map_err(|source| self.error(source))
    }

    /// Writes what is still held back.
    pub(super) fn finish(&mut self) -> Result<(), SaveError> {
        let result = match &mut self.format {
            Format::Mp4(mp4) => mp4.finish(),
            Format::Ivf(ivf) => ivf.out.flush(),
            Format::AnnexB(stream) => stream.out.flush(),
            Format::Ogg(ogg) => ogg.finish(),
        };
        result.map_err(|source| self.error(source))
    }

    fn error(&self, source: io::Error) -> SaveError {
        SaveError::Write {
            path: self.path.clone(),
            source,
        }
    }
}

enum Format<W> {
    Mp4(Box<Mp4<W>>),
    Ivf(Ivf<W>),
    AnnexB(AnnexB<W>),
    Ogg(Ogg<W>),
}

impl<W> Format<W> {
    fn holds(&self, codec: Codec) -> bool {
        match self {
            Self::Mp4(_) => matches!(
                codec,
                Codec::H264 | Codec::H265 | Codec::Av1 | Codec::Vp9 | Codec::Vp8 | Codec::Opus
            ),
            Self::Ivf(_) => matches!(codec, Codec::Vp8 | Codec::Vp9 | Codec::Av1),
            Self::AnnexB(_) => codec == Codec::H264,
            Self::Ogg(_) => codec == Codec::Opus,
        }
    }
}

/// An IVF file: a header of 32 bytes, then each frame with its length and timestamp, little-endian.
struct Ivf<W> {
    out: W,
    /// The codec of the file and its first timestamp.
    begun: Option<(Codec, u64)>,
}

impl<W: Write> Ivf<W> {
    fn new(out: W) -> Self {
        Self { out, begun: None }
    }

    fn write(&mut self, codec: Codec, frame: &Frame, sample: &Sample) -> io::Result<()> {
        let Sample::Bytes(bytes) = sample else {
            return Ok(());
        };
        let (begun, first) = match self.begun {
            Some(begun) => begun,
            None if !frame.keyframe => return Ok(()),
            None => {
                self.begin(codec, sample)?;
                *self.begun.insert((codec, frame.timestamp))
            }
        };
        if begun != codec {
            return Ok(());
        }
        // A temporal unit of AV1 begins with a delimiter that RTP leaves out.
        let delimiter: &[u8] = match codec {
            Codec::Av1 => &[0x12, 0x00],
            _ => &[],
        };
        let len = (delimiter.len() + bytes.len()) as u32;
        self.out.write_all(&len.to_le_bytes())?;
        self.out
            .write_all(&frame.timestamp.saturating_sub(first).to_le_bytes())?;
        self.out.write_all(delimiter)?;
        self.out.write_all(bytes)
    }

    fn begin(&mut self, codec: Codec, sample: &Sample) -> io::Result<()> {
        let (width, height) =
            picture::read(codec, sample).map_or((0, 0), |picture| (picture.width, picture.height));
        let name = match codec {
            Codec::Vp9 => b"VP90",
            Codec::Av1 => b"AV01",
            _ => b"VP80",
        };
        self.out.write_all(b"DKIF\0\0\x20\0")?;
        self.out.write_all(name)?;
        self.out.write_all(&width.to_le_bytes())?;
        self.out.write_all(&height.to_le_bytes())?;
        self.out.write_all(&codec.clock_rate().to_le_bytes())?;
        self.out.write_all(&1u32.to_le_bytes())?;
        self.out.write_all(&[0; 8])
    }
}

/// An H.264 byte stream: NAL units after start codes (H.264, annex B).
struct AnnexB<W> {
    out: W,
    has_begun: bool,
}

impl<W: Write> AnnexB<W> {
    fn new(out: W) -> Self {
        Self {
            out,
            has_begun: false,
        }
    }

    fn write(&mut self, frame: &Frame, sample: &Sample) -> io::Result<()> {
        self.has_begun |= frame.keyframe;
        let Sample::Nals(nals) = sample else {
            return Ok(());
        };
        if self.has_begun {
            for nal in nals {
                self.out.write_all(&[0, 0, 0, 1])?;
                self.out.write_all(nal)?;
            }
        }
        Ok(())
    }
}

/// Opus in Ogg, a page for each packet (RFC 3533, RFC 7845).
struct Ogg<W> {
    out: W,
    page: u32,
    first: Option<u64>,
    /// The samples up to the end of the last packet.
    position: u64,
}

impl<W: Write> Ogg<W> {
    const BEGIN: u8 = 0x02;
    const END: u8 = 0x04;

    fn new(out: W) -> Self {
        Self {
            out,
            page: 0,
            first: None,
            position: 0,
        }
    }

    fn write(&mut self, frame: &Frame, sample: &Sample) -> io::Result<()> {
        let Sample::Bytes(packet) = sample else {
            return Ok(());
        };
        let first = match self.first {
            Some(first) => first,
            None => {
                // Two channels, nothing to skip, 48 kHz, no gain, one stream.
                self.write_page(b"OpusHead\x01\x02\0\0\x80\xbb\0\0\0\0\0", Self::BEGIN)?;
                self.write_page(b"OpusTags\x08\0\0\0tidegate\0\0\0\0", 0)?;
                *self.first.insert(frame.timestamp)
            }
        };
        let end = frame.timestamp.saturating_sub(first) + opus_samples(packet);
        self.position = self.position.max(end);
        self.write_page(packet, 0)
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.first.is_some() {
            self.write_page(&[], Self::END)?;
        }
        self.out.flush()
    }

    fn write_page(&mut self, packet: &[u8], flags: u8) -> io::Result<()> {
        // A packet of 255 segments or more needs a second page; Opus in RTP is far below.
        let full = packet.len() / 255;
        if full >= 255 {
            return Ok(());
        }
        let mut page = Vec::with_capacity(packet.len() + 64);
        page.extend_from_slice(b"OggS\0");
        page.push(flags);
        page.extend_from_slice(&self.position.to_le_bytes());
        page.extend_from_slice(&1u32.to_le_bytes());
        page.extend_from_slice(&self.page.to_le_bytes());
        page.extend_from_slice(&[0; 4]);
        if packet.is_empty() {
            page.push(0);
        } else {
            page.push(full as u8 + 1);
            page.resize(page.len() + full, 255);
            page.push((packet.len() % 255) as u8);
        }
        page.extend_from_slice(packet);
        let checksum = ogg_checksum(&page);
        page[22..26].copy_from_slice(&checksum.to_le_bytes());
        self.page += 1;
        self.out.write_all(&page)
    }
}

fn ogg_checksum(page: &[u8]) -> u32 {
    page.iter().fold(0, |sum: u32, byte| {
        (0..8).fold(sum ^ (u32::from(*byte) << 24), |sum, _| {
            (sum << 1) ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    })
}

/// The length of an Opus packet in samples at 48 kHz, by its first bytes (RFC 6716, section 3.1).
fn opus_samples(packet: &[u8]) -> u64 {
    let Some(toc) = packet.first() else {
        return 0;
    };
    let config = toc >> 3;
    let samples = match config {
        0..12 => [480, 960, 1920, 2880][usize::from(config & 3)],
        12..16 => [480, 960][usize::from(config & 1)],
        _ => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).map_or(0, |count| u64::from(count & 0x3f)),
    };
    samples * frames
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::Bytes;

    use super::*;

    fn frame(timestamp: u64, keyframe: bool) -> Frame {
        Frame {
            timestamp,
            keyframe,
            complete: Instant::now(),
            payloads: vec![Bytes::new()],
        }
    }

    #[test]
    fn ivf_begins_at_a_keyframe() {
        let mut ivf = Ivf::new(Vec::new());
        let key = Sample::Bytes(vec![0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00]);
        let delta = Sample::Bytes(vec![0x11, 7]);
        ivf.write(Codec::Vp8, &frame(90_000, false), &delta)
            .unwrap();
        assert!(ivf.out.is_empty());
        ivf.write(Codec::Vp8, &frame(93_000, true), &key).unwrap();
        ivf.write(Codec::Vp8, &frame(96_000, false), &delta)
            .unwrap();
        assert_eq!(&ivf.out[..12], b"DKIF\0\0\x20\0VP80");
        assert_eq!(&ivf.out[12..16], &[0x40, 0x01, 0xf0, 0x00]);
        assert_eq!(&ivf.out[32..44], &[10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&ivf.out[54..58], &[2, 0, 0, 0]);
        assert_eq!(&ivf.out[58..62], &3000u32.to_le_bytes());
        assert_eq!(ivf.out.len(), 32 + 12 + 10 + 12 + 2);
    }

    #[test]
    fn byte_streams_have_start_codes() {
        let mut stream = AnnexB::new(Vec::new());
        let nals = Sample::Nals(vec![vec![0x67, 1], vec![0x65, 2]]);
        stream.write(&frame(0, false), &nals).unwrap();
        assert!(stream.out.is_empty());
        stream.write(&frame(0, true), &nals).unwrap();
        assert_eq!(stream.out, [0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x65, 2]);
    }

    #[test]
    fn opus_packets_know_their_length() {
        assert_eq!(opus_samples(&[0xfc]), 960);
        assert_eq!(opus_samples(&[0x78]), 960);
        assert_eq!(opus_samples(&[0xfb, 3]), 3 * 960);
        assert_eq!(opus_samples(&[]), 0);
    }

    #[test]
    fn ogg_pages_carry_a_position_and_a_checksum() {
        let mut ogg = Ogg::new(Vec::new());
        let packet = Sample::Bytes(vec![0xfc; 255]);
        ogg.write(&frame(5_000, false), &packet).unwrap();
        ogg.finish().unwrap();
        let pages: Vec<_> = ogg
            .out
            .windows(4)
            .enumerate()
            .filter(|(_, w)| w == b"OggS")
            .collect();
        assert_eq!(pages.len(), 4);
        let audio = &ogg.out[pages[2].0..pages[3].0];
        assert_eq!(&audio[6..14], &960u64.to_le_bytes());
        // 255 bytes end with a segment of no bytes.
        assert_eq!(&audio[26..29], &[2, 255, 0]);
        let mut zeroed = audio.to_vec();
        zeroed[22..26].fill(0);
        assert_eq!(ogg_checksum(&zeroed).to_le_bytes(), audio[22..26]);
    }

    #[test]
    fn ogg_files_play_elsewhere() {
        let path = std::env::temp_dir().join(format!("tidegate-{}.ogg", std::process::id()));
        let mut saver = Saver::create(&path).unwrap();
        for number in 0..50 {
            let frame = Frame {
                payloads: vec![Bytes::from_static(&[0xf8, 0xff, 0xfe])],
                ..frame(77 + number * 960, false)
            };
            saver.write(Codec::Opus, &frame).unwrap();
            saver.write(Codec::Vp8, &frame).unwrap();
        }
        saver.finish().unwrap();
        let probe = std::process::Command::new("ffprobe")
            .args(["-v", "error", "-count_frames", "-of", "csv=p=0"])
            .args(["-show_entries", "stream=codec_name,nb_read_frames,duration"])
            .arg(&path)
            .output();
        // Where the prober is not installed, the test of the pages has to do.
        if let Ok(probe) = probe {
            assert!(
                probe.stderr.is_empty(),
                "{}",
                String::from_utf8_lossy(&probe.stderr)
            );
            let text = String::from_utf8(probe.stdout).unwrap();
            assert_eq!(text.trim(), "opus,1.000000,50");
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn an_ending_that_names_no_format_is_refused() {
        let error = Saver::create(Path::new("/nonexistent/x.avi"))
            .err()
            .unwrap();
        assert!(error.to_string().contains(".mp4"));
        let error = Saver::create(Path::new("/nonexistent/x.mp4"))
            .err()
            .unwrap();
        assert!(matches!(error, SaveError::Write { .. }));
    }
}
