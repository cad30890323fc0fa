//! Keyframes of every codec, made by GStreamer's encoders.

use std::sync::Arc;

use super::*;
use crate::rtp::keyframe::starts_keyframe;
use crate::stream::{Packet, TrackId, TrackInfo};

const LIMIT: Duration = Duration::from_secs(20);

/// The first picture of an encoder as RTP. The left half of it is red, the right half blue.
fn still(codec: Codec, encoder: &str, payloader: &str) -> Still {
    crate::media::init().unwrap();
    let source = "videotestsrc num-buffers=1 pattern=solid-color foreground-color=0xffff0000 ! \
                  video/x-raw,format=I420,width=320,height=240,framerate=25/1 ! videobox right=-320 fill=blue";
    let text = format!("{source} ! {encoder} ! {payloader} ! appsink name=sink sync=false");
    let pipeline = gst::parse::launch(&text).unwrap();
    let sink = pipeline.downcast_ref::<gst::Bin>().unwrap().by_name("sink");
    let sink: AppSink = sink.unwrap().downcast().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut packets = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let mut keep = |buffer: &gst::BufferRef| {
            let rtp = buffer.map_readable().unwrap();
            packets.push(Arc::new(Packet {
                sequence: 0x10000 + packets.len() as u64,
                timestamp: 9,
                marker: rtp[1] & 0x80 != 0,
                keyframe: starts_keyframe(codec, &rtp[12..]),
                payload: rtp[12..].to_vec(),
                ..Packet::empty(Instant::now())
            }));
        };
        match sample.buffer_list() {
            Some(list) => list.iter().for_each(keep),
            None => keep(sample.buffer().unwrap()),
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    let (fmtp, channels) = (String::new(), 1);
    let track = TrackInfo {
        id: TrackId(0),
        codec,
        fmtp,
        channels,
    };
    Still { track, packets }
}

/// Its size, and the colours left and right, as FFmpeg sees them.
fn seen(jpeg: &Bytes, name: &str) -> ((usize, usize), [[u8; 3]; 2]) {
    let path = std::env::temp_dir().join(format!("tidegate-{}-{name}.jpg", std::process::id()));
    std::fs::write(&path, jpeg).unwrap();
    let run = |program: &str, before: &[&str], after: &[&str]| {
        let mut command = std::process::Command::new(program);
        let output = command
            .args(before)
            .arg(&path)
            .args(after)
            .output()
            .unwrap();
        assert!(
            output.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    };
    let entries = [
        "-v",
        "error",
        "-show_entries",
        "stream=width,height",
        "-of",
        "csv=p=0",
    ];
    let size = String::from_utf8(run("ffprobe", &entries, &[])).unwrap();
    let (width, height) = size.trim().split_once(',').unwrap();
    let (width, height): (usize, usize) = (width.parse().unwrap(), height.parse().unwrap());
    let raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"];
    let pixels = run("ffmpeg", &["-v", "error", "-i"], &raw);
    std::fs::remove_file(&path).unwrap();
    let at = |x: usize| {
        let start = (height / 2 * width + x) * 3;
        [pixels[start], pixels[start + 1], pixels[start + 2]]
    };
    ((width, height), [at(width / 4), at(3 * width / 4)])
}

fn is_shown(codec: Codec, encoder: &str, payloader: &str) {
    let still = still(codec, encoder, payloader);
    let jpeg = jpeg(&still, 160, LIMIT).unwrap();
    let (size, [left, right]) = seen(&jpeg, codec.name());
    assert_eq!(size, (160, 60), "the shape stays");
    assert!(left[0] > 200 && left[2] < 60, "{left:?} is red");
    assert!(right[2] > 200 && right[0] < 60, "{right:?} is blue");
}

#[test]
fn h264_is_shown() {
    is_shown(
        Codec::H264,
        "x264enc tune=zerolatency",
        "rtph264pay config-interval=-1",
    );
}

#[test]
fn h265_is_shown() {
    is_shown(
        Codec::H265,
        "x265enc tune=zerolatency",
        "rtph265pay config-interval=-1",
    );
}

#[test]
fn vp8_is_shown() {
    is_shown(Codec::Vp8, "vp8enc deadline=1", "rtpvp8pay");
}

#[test]
fn vp9_is_shown() {
    is_shown(Codec::Vp9, "vp9enc deadline=1", "rtpvp9pay");
}

#[test]
fn av1_is_shown() {
    let still = Still {
        track: TrackInfo {
            id: TrackId(0),
            codec: Codec::Av1,
            fmtp: String::new(),
            channels: 1,
        },
        packets: crate::media::hls::tests::av1_keyframe(),
    };
    let jpeg = jpeg(&still, 160, LIMIT).unwrap();
    let (size, [left, _]) = seen(&jpeg, "av1");
    assert_eq!(size, (160, 120));
    assert!(
        left.iter().any(|colour| *colour > 60),
        "{left:?} is a colour bar"
    );
}

#[test]
fn a_small_picture_stays_small() {
    let still = still(Codec::Vp8, "vp8enc deadline=1", "rtpvp8pay");
    let jpeg = jpeg(&still, 1920, LIMIT).unwrap();
    assert_eq!(seen(&jpeg, "small").0, (640, 240));
}

#[test]
fn what_is_no_picture_ends_in_an_error_in_time() {
    let mut still = still(
        Codec::H264,
        "x264enc tune=zerolatency",
        "rtph264pay config-interval=-1",
    );
    for packet in &mut still.packets {
        let packet = Arc::get_mut(packet).unwrap();
        packet
            .payload
            .iter_mut()
            .skip(1)
            .for_each(|byte| *byte = 0xff);
    }
    let error = jpeg(&still, 160, LIMIT).unwrap_err().to_string();
    assert!(error.contains("thumbnail"), "{error}");
    still.packets.clear();
    assert!(jpeg(&still, 160, LIMIT).is_err());
    still.track.codec = Codec::Av1;
    assert!(jpeg(&still, 160, LIMIT).is_err());
}
