//! A fragmented MP4 (ISO/IEC 14496-12): what is written stays playable when the process is killed.
//!
//! The header is written at the first keyframe, since it holds the codec's configuration; frames
//! before it are dropped. A fragment holds about a second, or what lies between two keyframes.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use mp4_atom::{
    Codec as Entry, Dinf, Dref, DrefEntry, Encode, Ftyp, Hdlr, Mdat, Mdhd, Mdia, Mfhd, Minf, Moof,
    Moov, Mvex, Mvhd, Smhd, Stbl, Stco, Stsc, Stsd, Stsz, Stts, Tfdt, Tfhd, Tkhd, Traf, Trak, Trex,
    Trun, TrunEntry, Url, Vmhd,
};

use super::depayload::Sample;
use super::frame::Frame;
use super::picture;
use super::sample_entry::{parameter_sets, sample_entry};
use super::verdict::Accepted;
use crate::rtp::picture::Picture;
use crate::rtp::{Codec, MediaKind};

/// The longest fragment.
const FRAGMENT: Duration = Duration::from_secs(1);
/// `sample_flags` of a keyframe: depends on nothing.
const KEYFRAME: u32 = 0x0200_0000;
/// `sample_flags` of the others: depends on another, is no sync sample.
const DELTA: u32 = 0x0101_0000;

/// Writes an MP4 of at most one video and one audio track.
pub(super) struct Mp4<W> {
    out: W,
    expected: Accepted,
    tracks: Vec<Track>,
    /// When the file's first frame was complete: time zero.
    zero: Option<Instant>,
    fragments: u32,
}

struct Track {
    codec: Codec,
    /// Parameter sets that are in the header, and so not in the samples.
    parameters: Vec<Vec<u8>>,
    /// The timestamp that is time zero of the file; known with the first frame.
    origin: Option<i128>,
    /// The last one waits for its duration: the next frame's timestamp.
    pending: Vec<Pending>,
    last_duration: u32,
}

struct Pending {
    time: u64,
    keyframe: bool,
    data: Vec<u8>,
}

impl<W: Write> Mp4<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            expected: Accepted {
                audio: true,
                video: true,
            },
            tracks: Vec::new(),
            zero: None,
            fragments: 0,
        }
    }

    /// Tells which kinds will come.
    pub(super) fn expect(&mut self, accepted: Accepted) {
        self.expected = accepted;
    }

    pub(super) fn write(&mut self, codec: Codec, frame: &Frame, sample: Sample) -> io::Result<()> {
        if self.tracks.is_empty() && !self.begin(codec, frame, &sample)? {
            return Ok(());
        }
        let Some(zero) = self.zero else {
            return Ok(());
        };
        let Some(index) = self.tracks.iter().position(|track| track.codec == codec) else {
            return Ok(());
        };
        let is_boundary = frame.keyframe && codec.kind() == MediaKind::Video;
        let track = &mut self.tracks[index];
        let Some(time) = track.time(frame, zero) else {
            return Ok(());
        };
        track.pending.push(Pending {
            time,
            keyframe: frame.keyframe || codec.kind() == MediaKind::Audio,
            data: track.encode(sample),
        });
        if is_boundary || self.tracks[index].span() >= FRAGMENT {
            self.write_fragment(Last::Held)?;
        }
        Ok(())
    }

    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.write_fragment(Last::Written)?;
        self.out.flush()
    }

    /// Writes the header if this frame is the one that the file begins with.
    fn begin(&mut self, codec: Codec, frame: &Frame, sample: &Sample) -> io::Result<bool> {
        let is_first = match codec.kind() {
            MediaKind::Video => frame.keyframe,
            MediaKind::Audio => !self.expected.video,
        };
        if !is_first {
            return Ok(false);
        }
        let mut codecs = vec![codec];
        if codec.kind() == MediaKind::Video && self.expected.audio {
            codecs.push(Codec::Opus);
        }
        let mut moov = Moov {
            mvhd: Mvhd {
                timescale: 1000,
                rate: 1.into(),
                volume: 1.into(),
                next_track_id: codecs.len() as u32 + 1,
                ..Mvhd::default()
            },
            mvex: Some(Mvex::default()),
            ..Moov::default()
        };
        for (id, codec) in (1..).zip(codecs) {
            let picture = picture::read(codec, sample).unwrap_or_default();
            let Some(entry) = sample_entry(codec, &picture, sample) else {
                return Ok(false);
            };
            moov.trak.push(trak(id, codec, &picture, entry));
            moov.mvex.get_or_insert_default().trex.push(Trex {
                track_id: id,
                default_sample_description_index: 1,
                ..Trex::default()
            });
            self.tracks.push(Track {
                codec,
                parameters: parameter_sets(codec, sample),
                origin: None,
                pending: Vec::new(),
                last_duration: 0,
            });
        }
        let mut header = Vec::new();
        let ftyp = Ftyp {
            major_brand: b"iso6".into(),
            minor_version: 0,
            compatible_brands: vec![b"iso6".into(), b"mp41".into()],
        };
        ftyp.encode(&mut header).map_err(io::Error::other)?;
        moov.encode(&mut header).map_err(io::Error::other)?;
        self.out.write_all(&header)?;
        self.zero = Some(frame.complete);
        Ok(true)
    }

    fn write_fragment(&mut self, last: Last) -> io::Result<()> {
        let mut moof = Moof {
            mfhd: Mfhd {
                sequence_number: self.fragments + 1,
            },
            traf: Vec::new(),
        };
        let mut mdat = Vec::new();
        let mut starts = Vec::new();
        for (id, track) in (1..).zip(&mut self.tracks) {
            let Some((time, samples)) = track.take(last, &mut mdat, &mut starts) else {
                continue;
            };
            moof.traf.push(Traf {
                tfhd: Tfhd {
                    track_id: id,
                    default_base_is_moof: true,
                    ..Tfhd::default()
                },
                tfdt: Some(Tfdt {
                    base_media_decode_time: time,
                }),
                trun: vec![Trun {
                    data_offset: Some(0),
                    samples: samples.into(),
                }],
                ..Traf::default()
            });
        }
        if moof.traf.is_empty() {
            return Ok(());
        }
        // Offsets count from the beginning of the moof, whose size does not depend on them.
        let mut head = Vec::new();
        moof.encode(&mut head).map_err(io::Error::other)?;
        let data = head.len() + 8;
        for (traf, start) in moof.traf.iter_mut().zip(starts) {
            traf.trun[0].data_offset = i32::try_from(data + start).ok();
        }
        head.clear();
        moof.encode(&mut head).map_err(io::Error::other)?;
        let mdat = Mdat { data: mdat };
        mdat.encode(&mut head).map_err(io::Error::other)?;
        self.fragments += 1;
        self.out.write_all(&head)
    }
}

/// What happens to the last frame of a fragment, whose duration only the next one tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Held,
    Written,
}

impl Track {
    /// The time of a frame in units of the track; `None` before the file's beginning.
    ///
    /// Two tracks have unrelated timestamps. Their first frames are put where they arrived.
    fn time(&mut self, frame: &Frame, zero: Instant) -> Option<u64> {
        let stamp = i128::from(frame.timestamp);
        let origin = match self.origin {
            Some(origin) => origin,
            None => {
                let after = frame.complete.checked_duration_since(zero)?;
                let clock = f64::from(self.codec.clock_rate());
                *self
                    .origin
                    .insert(stamp - (after.as_secs_f64() * clock) as i128)
            }
        };
        let time = u64::try_from(stamp - origin).ok()?;
        // Times only rise: a frame that does not is of a sender that began anew.
        (self.pending.last().is_none_or(|last| last.time < time)).then_some(time)
    }

    fn encode(&self, sample: Sample) -> Vec<u8> {
        match sample {
            Sample::Bytes(bytes) => bytes,
            Sample::Nals(nals) => {
                let mut data = Vec::new();
                for nal in nals.iter().filter(|nal| !self.parameters.contains(nal)) {
                    data.extend_from_slice(&(nal.len() as u32).to_be_bytes());
                    data.extend_from_slice(nal);
                }
                data
            }
        }
    }

    /// The time between the frames that wait.
    fn span(&self) -> Duration {
        match (self.pending.first(), self.pending.last()) {
            (Some(first), Some(last)) => Duration::from_secs_f64(
                (last.time - first.time) as f64 / f64::from(self.codec.clock_rate()),
            ),
            _ => Duration::ZERO,
        }
    }

    /// Moves what waits into `mdat`; returns the first time and the entries.
    fn take(
        &mut self,
        last: Last,
        mdat: &mut Vec<u8>,
        starts: &mut Vec<usize>,
    ) -> Option<(u64, Vec<TrunEntry>)> {
        let held = usize::from(last == Last::Held);
        let count = self.pending.len().checked_sub(held).filter(|n| *n > 0)?;
        let time = self.pending[0].time;
        starts.push(mdat.len());
        let mut entries = Vec::with_capacity(count);
        for index in 0..count {
            if let Some(next) = self.pending.get(index + 1) {
                let duration = next.time - self.pending[index].time;
                self.last_duration = u32::try_from(duration).unwrap_or(u32::MAX);
            }
            let pending = &self.pending[index];
            mdat.extend_from_slice(&pending.data);
            entries.push(TrunEntry {
                duration: Some(self.last_duration),
                size: Some(pending.data.len() as u32),
                flags: Some(if pending.keyframe { KEYFRAME } else { DELTA }),
                cts: None,
            });
        }
        self.pending.drain(..count);
        Some((time, entries))
    }
}

fn trak(id: u32, codec: Codec, picture: &Picture, entry: Entry) -> Trak {
    let is_video = codec.kind() == MediaKind::Video;
    Trak {
        tkhd: Tkhd {
            track_id: id,
            enabled: true,
            in_movie: true,
            volume: if is_video { 0 } else { 1 }.into(),
            width: picture.width.into(),
            height: picture.height.into(),
            ..Tkhd::default()
        },
        mdia: Mdia {
            mdhd: Mdhd {
                timescale: codec.clock_rate(),
                language: "und".to_owned(),
                ..Mdhd::default()
            },
            hdlr: Hdlr {
                handler: if is_video { b"vide" } else { b"soun" }.into(),
                name: codec.kind().as_str().to_owned(),
            },
            minf: Minf {
                vmhd: is_video.then(Vmhd::default),
                smhd: (!is_video).then(Smhd::default),
                dinf: Dinf {
                    dref: Dref {
                        entries: vec![DrefEntry::Url(Url::default())],
                    },
                },
                stbl: Stbl {
                    stsd: Stsd {
                        codecs: vec![entry],
                    },
                    stts: Stts::default(),
                    stsc: Stsc::default(),
                    stsz: Stsz::default(),
                    stco: Some(Stco::default()),
                    ..Stbl::default()
                },
                ..Minf::default()
            },
        },
        ..Trak::default()
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use bytes::Bytes;

    use super::super::depayload::{assemble, holds_keyframe};
    use super::*;

    /// Encodes a second of moving picture with the installed encoder, as a list of access units.
    /// `None` where it is not installed: these tests need a second opinion to be worth anything.
    fn encoded(codec: &str, format: &str) -> Option<Vec<u8>> {
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i"])
            .arg("testsrc=size=192x108:rate=25:duration=1")
            .args(["-pix_fmt", "yuv420p", "-g", "10", "-bf", "0", "-c:v", codec])
            .args(match codec {
                "libx264" | "libx265" => &["-preset", "ultrafast"][..],
                "libaom-av1" => &["-cpu-used", "8", "-lag-in-frames", "0"],
                _ => &["-deadline", "realtime", "-lag-in-frames", "0"],
            })
            .args(["-f", format, "-"])
            .output()
            .ok()?;
        output.status.success().then_some(output.stdout)
    }

    /// What the installed prober says about a file: codec, size and number of decoded frames.
    fn probe(path: &std::path::Path) -> String {
        let output = Command::new("ffprobe")
            .args(["-v", "error", "-count_frames", "-of", "csv=p=0"])
            .args([
                "-show_entries",
                "stream=codec_name,width,height,nb_read_frames",
            ])
            .arg(path)
            .output()
            .unwrap();
        assert!(
            output.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn frame(number: u64, keyframe: bool, zero: Instant) -> Frame {
        Frame {
            timestamp: 7_000 + number * 3_600,
            keyframe,
            complete: zero + Duration::from_millis(40 * number),
            payloads: Vec::new(),
        }
    }

    /// Splits a byte stream into access units of one slice each.
    fn access_units(stream: &[u8], is_picture: impl Fn(&[u8]) -> bool) -> Vec<Vec<Bytes>> {
        let mut units = vec![Vec::new()];
        let starts: Vec<usize> = stream
            .windows(3)
            .enumerate()
            .filter(|(_, window)| window == &[0, 0, 1])
            .map(|(at, _)| at + 3)
            .collect();
        for (index, start) in starts.iter().enumerate() {
            let end = starts.get(index + 1).map_or(stream.len(), |next| next - 3);
            let mut nal = &stream[*start..end];
            while let [rest @ .., 0] = nal {
                nal = rest;
            }
            units.last_mut().unwrap().push(Bytes::copy_from_slice(nal));
            if is_picture(nal) {
                units.push(Vec::new());
            }
        }
        units.retain(|unit| !unit.is_empty());
        units
    }

    fn write_mp4(name: &str, codec: Codec, samples: Vec<(bool, Sample)>) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("tidegate-{}-{name}.mp4", std::process::id()));
        let mut mp4 = Mp4::new(std::fs::File::create(&path).unwrap());
        mp4.expect(Accepted {
            audio: false,
            video: true,
        });
        let zero = Instant::now();
        for (number, (keyframe, sample)) in (0..).zip(samples) {
            mp4.write(codec, &frame(number, keyframe, zero), sample)
                .unwrap();
        }
        mp4.finish().unwrap();
        path
    }

    fn check_nals(
        name: &str,
        encoder: &str,
        format: &str,
        codec: Codec,
        picture: fn(&[u8]) -> bool,
    ) {
        let Some(stream) = encoded(encoder, format) else {
            return;
        };
        let samples = access_units(&stream, picture)
            .into_iter()
            .map(|unit| {
                let keyframe = unit.iter().any(|nal| holds_keyframe(codec, nal));
                (keyframe, assemble(codec, &unit).unwrap())
            })
            .collect();
        let path = write_mp4(name, codec, samples);
        assert_eq!(probe(&path), format!("{name},192,108,25"));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn h264_plays_elsewhere() {
        check_nals("h264", "libx264", "h264", Codec::H264, |nal| {
            matches!(nal[0] & 0x1f, 1 | 5)
        });
    }

    #[test]
    fn h265_plays_elsewhere() {
        check_nals("hevc", "libx265", "hevc", Codec::H265, |nal| {
            (nal[0] >> 1) & 0x3f < 32
        });
    }

    fn check_ivf(name: &str, encoder: &str, codec: Codec) {
        let Some(file) = encoded(encoder, "ivf") else {
            return;
        };
        let mut samples = Vec::new();
        let mut rest = &file[32..];
        while let Some((head, tail)) = rest.split_at_checked(12) {
            let len = u32::from_le_bytes(head[..4].try_into().unwrap()) as usize;
            let mut bytes = tail[..len].to_vec();
            if codec == Codec::Av1 && bytes.starts_with(&[0x12, 0]) {
                bytes.drain(..2);
            }
            samples.push((samples.len() % 10 == 0, Sample::Bytes(bytes)));
            rest = &tail[len..];
        }
        let path = write_mp4(name, codec, samples);
        assert_eq!(probe(&path), format!("{name},192,108,25"));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn vp9_plays_elsewhere() {
        check_ivf("vp9", "libvpx-vp9", Codec::Vp9);
    }

    #[test]
    fn vp8_plays_elsewhere() {
        check_ivf("vp8", "libvpx", Codec::Vp8);
    }

    #[test]
    fn av1_plays_elsewhere() {
        check_ivf("av1", "libaom-av1", Codec::Av1);
    }

    #[test]
    fn sound_goes_beside_the_picture() {
        let Some(stream) = encoded("libx264", "h264") else {
            return;
        };
        let path = std::env::temp_dir().join(format!("tidegate-{}-av.mp4", std::process::id()));
        let mut mp4 = Mp4::new(std::fs::File::create(&path).unwrap());
        let zero = Instant::now();
        let units = access_units(&stream, |nal| matches!(nal[0] & 0x1f, 1 | 5));
        for (number, unit) in (0..).zip(units) {
            let keyframe = unit.iter().any(|nal| holds_keyframe(Codec::H264, nal));
            let picture = frame(number, keyframe, zero);
            let sample = assemble(Codec::H264, &unit).unwrap();
            mp4.write(Codec::H264, &picture, sample).unwrap();
            for half in 0..2 {
                let sound = Frame {
                    timestamp: 99 + (2 * number + half) * 960,
                    keyframe: false,
                    ..picture.clone()
                };
                // Twenty milliseconds of silence.
                let sample = Sample::Bytes(vec![0xf8, 0xff, 0xfe]);
                mp4.write(Codec::Opus, &sound, sample).unwrap();
            }
        }
        mp4.finish().unwrap();
        assert_eq!(probe(&path), "h264,192,108,25\nopus,50");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn nothing_is_written_before_a_keyframe() {
        let mut mp4 = Mp4::new(Vec::new());
        let zero = Instant::now();
        let sample = Sample::Nals(vec![vec![0x41, 1]]);
        mp4.write(Codec::H264, &frame(0, false, zero), sample)
            .unwrap();
        mp4.finish().unwrap();
        assert!(mp4.out.is_empty());
    }

    #[test]
    fn audio_before_the_first_picture_is_left_out() {
        let mut track = Track {
            codec: Codec::Opus,
            parameters: Vec::new(),
            origin: None,
            pending: Vec::new(),
            last_duration: 0,
        };
        let zero = Instant::now() + Duration::from_secs(1);
        let at = |ms: u64, stamp| Frame {
            timestamp: stamp,
            complete: zero - Duration::from_secs(1) + Duration::from_millis(ms),
            keyframe: false,
            payloads: Vec::new(),
        };
        assert_eq!(track.time(&at(900, 5_000), zero), None);
        assert_eq!(track.time(&at(1_020, 10_000), zero), Some(960));
        assert_eq!(track.time(&at(1_045, 10_960), zero), Some(1_920));
    }
}
