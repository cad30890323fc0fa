//! What is said of publishers who do something wrong, and of one who does not.

use super::*;
use crate::ingest::verdict::Report;
use crate::rtp::MediaKind;

/// Baseline, 640x360, level 3.0; and the same of 320x180.
const SPS_360: [u8; 25] = [
    0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00, 0x00, 0x03, 0x00, 0x01,
    0x00, 0x00, 0x03, 0x00, 0x32, 0x0f, 0x16, 0x2e, 0x48,
];
const SPS_180: [u8; 22] = [
    0x67, 0x42, 0xc0, 0x0d, 0xd9, 0x01, 0x41, 0x9f, 0x9e, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00,
    0x00, 0x03, 0x03, 0x20, 0xf1, 0x42,
];

/// How a made-up publisher sends, 50 pictures a second at most.
struct Sender {
    rig: Rig,
    /// Which of the ticks, of 20 ms each, is a keyframe.
    keyframe: fn(u32) -> bool,
    /// What stands ahead of a keyframe.
    sets: fn(u32) -> Vec<Vec<u8>>,
    /// The payload of a frame that is none; none where none is sent in this tick.
    frame: fn(u32) -> Option<Vec<u8>>,
    /// How many ticks later than its turn a frame is shown.
    shift: fn(u32) -> i64,
    audio: bool,
    reports: bool,
    /// The media's clock against the wall clock, in parts per million.
    drift: i64,
    /// Which packets get lost for good.
    lost: fn(u16) -> bool,
    answers: bool,
    sequence: u16,
    tick: u32,
}

impl Sender {
    /// One whom nothing can be said against.
    fn good() -> Self {
        Self {
            rig: Rig::new(),
            keyframe: |tick| tick % 100 == 0,
            sets: |_| vec![SPS_360.to_vec(), vec![0x68, 0xCE]],
            frame: |_| Some([SLICE, &[0; 800]].concat()),
            shift: |_| 0,
            audio: true,
            reports: true,
            drift: 0,
            lost: |_| false,
            answers: true,
            sequence: 0,
            tick: 0,
        }
    }

    fn run(&mut self, seconds: u32) -> Report {
        let mut report = None;
        let mut asked = false;
        for _ in 0..50 * seconds {
            let tick = self.tick;
            self.tick += 1;
            let timestamp = (1_800 * (i64::from(tick) + (self.shift)(tick))) as u32;
            let keyframe = (self.keyframe)(tick) || (self.answers && std::mem::take(&mut asked));
            if keyframe {
                for set in (self.sets)(tick) {
                    self.send(timestamp, &set);
                }
                self.send(timestamp, &[IDR, &[0; 4_000]].concat());
            } else if let Some(frame) = (self.frame)(tick) {
                self.send(timestamp, &frame);
            }
            if self.audio {
                let audio = Rtp::audio(tick as u16, 960 * tick);
                self.rig.receive(&audio).unwrap();
            }
            if self.reports && tick.is_multiple_of(50) {
                self.report(tick);
            }
            let sent = self.rig.pass_millis(20);
            asked |= !keyframe_requests(&sent).is_empty();
            for event in self.rig.all_events() {
                if let Event::Report(newest) = event {
                    report = Some(newest);
                }
            }
        }
        Report::clone(&report.unwrap())
    }

    fn send(&mut self, timestamp: u32, payload: &[u8]) {
        self.sequence = self.sequence.wrapping_add(1);
        if !(self.lost)(self.sequence) {
            let rtp = Rtp::video(self.sequence, timestamp, payload);
            self.rig.receive(&rtp).unwrap();
        }
    }

    fn report(&mut self, tick: u32) {
        let seconds = u64::from(tick) * 20 * 1_000_000 / 1_000;
        let drifted = seconds as i64 * (1_000_000 - self.drift) / 1_000_000;
        let ntp_time = (100 << 32) + ((drifted as u64) << 32) / 1_000_000;
        for (ssrc, rtp_time) in [(VIDEO_SSRC, 1_800 * tick), (AUDIO_SSRC, 960 * tick)] {
            let report = SenderReport {
                ssrc,
                ntp_time,
                rtp_time,
                ..SenderReport::default()
            };
            self.rig.rtcp(&[Box::new(report)]);
        }
    }
}

/// The names of what was found on the video track.
fn names(report: &Report) -> Vec<&'static str> {
    let mut names: Vec<_> = report.findings.iter().map(|f| f.defect.name()).collect();
    names.dedup();
    names
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let mut sender = Sender::good();
    let report = sender.run(60);
    assert_eq!(report.findings, []);
    let video = &report.layers[1];
    assert!((49.0..51.0).contains(&video.frame_rate), "{video:?}");
    assert!((300_000..420_000).contains(&video.bitrate), "{video:?}");
    assert_eq!(video.keyframe_interval, Some(Duration::from_secs(2)));
    assert_eq!(video.stats.picture_size, Some((640, 360)));
    assert_eq!((video.reorder_depth, video.drift), (0, Some(0)));
    assert_eq!(report.layers[0].frame_rate, 0.0);
}

#[test]
fn b_frames_are_found_by_their_timestamps() {
    let mut sender = Sender::good();
    // I P b b P b b: shown in another order than sent.
    sender.shift = |tick| match tick % 3 {
        1 => 2,
        2 => -1,
        _ => -1,
    };
    let report = sender.run(5);
    assert_eq!(names(&report), ["b_frames"]);
    let Defect::BFrames { depth, share } = report.findings[0].defect else {
        panic!("{report:?}");
    };
    assert_eq!(depth, 1);
    assert!((0.6..0.7).contains(&share), "{share}");
}

#[test]
fn b_frames_are_found_by_their_slices_too() {
    let mut sender = Sender::good();
    sender.frame = |tick| Some(vec![0x01, if tick % 2 == 0 { 0xA0 } else { 0xC0 }]);
    let report = sender.run(5);
    assert_eq!(names(&report), ["b_frames"]);
    assert!(report.findings[0].to_string().contains("order of decoding"));
}

#[test]
fn a_long_interval_is_none_with_who_answers_requests() {
    let mut sender = Sender::good();
    sender.keyframe = |tick| tick == 0;
    let report = sender.run(30);
    assert_eq!(report.findings, []);
    // It was asked once, to see whether it answers.
    assert_eq!(report.layers[1].stats.keyframe_requests, 1);
    assert_eq!(report.layers[1].stats.keyframes, 2);

    let mut sender = Sender::good();
    sender.keyframe = |tick| tick % 500 == 0;
    sender.answers = false;
    let report = sender.run(24);
    let expected = ["keyframe_requests_ignored", "long_keyframe_interval"];
    assert_eq!(names(&report), expected);
    // A keyframe that comes after some seconds is no answer.
    let mut sender = Sender::good();
    sender.keyframe = |tick| tick % 300 == 0;
    sender.answers = false;
    assert_eq!(names(&sender.run(24)), ["long_keyframe_interval"]);
}

/// Each is repeated until it has been in vain twice.
#[test]
fn requests_in_vain_are_counted() {
    let mut sender = Sender::good();
    sender.answers = false;
    sender.keyframe = |tick| tick % 400 == 0;
    sender.run(1);
    for _ in 0..3 {
        let now = sender.rig.now;
        sender
            .rig
            .publisher
            .request_keyframe(now, VIDEO, LayerId(0));
        sender.run(8);
    }
    let report = sender.run(1);
    let of = |name| report.findings.iter().find(|f| f.defect.name() == name);
    let ignored = &of("keyframe_requests_ignored").unwrap().defect;
    assert_eq!(*ignored, Defect::KeyframeRequestsIgnored { times: 6 });
}

#[test]
fn scene_cuts_make_intervals_irregular() {
    let mut sender = Sender::good();
    sender.keyframe = |tick| tick % 100 == 0 || tick % 100 == 30;
    assert_eq!(names(&sender.run(12)), ["irregular_keyframes"]);
}

#[test]
fn a_bitstream_beyond_what_was_agreed_is_found() {
    let mut spec = spec();
    spec.tracks[1].info.fmtp = "profile-level-id=42e01f;packetization-mode=1".to_owned();
    let mut sender = Sender::good();
    sender.rig = Rig::with(spec);
    // High, level 4.2; what follows the level is of no matter.
    sender.sets = |_| vec![vec![0x67, 100, 0, 42, 0], vec![0x68, 0xCE]];
    let report = sender.run(4);
    assert_eq!(names(&report), ["other_profile", "higher_level"]);
    assert_eq!(
        report.findings[0].to_string(),
        "the offer says H264 Constrained Baseline, the bitstream is High"
    );
    assert_eq!(
        report.findings[1].to_string(),
        "the offer says level 3.1, the bitstream is of level 4.2"
    );
}

#[test]
fn keyframes_without_parameter_sets_are_found() {
    let mut sender = Sender::good();
    sender.sets = |tick| {
        if tick == 0 {
            vec![SPS_360.to_vec()]
        } else {
            Vec::new()
        }
    };
    let report = sender.run(7);
    assert_eq!(names(&report), ["no_parameter_sets"]);
    assert!(report.findings[0].to_string().contains("SPS and PPS"));
}

#[test]
fn sizes_that_change_again_and_again_are_found() {
    let mut sender = Sender::good();
    sender.sets = |tick| match tick / 100 % 2 {
        0 => vec![SPS_360.to_vec(), vec![0x68]],
        _ => vec![SPS_180.to_vec(), vec![0x68]],
    };
    assert_eq!(names(&sender.run(6)), [""; 0]);
    assert_eq!(names(&sender.run(6)), ["resolution_changes"]);
}

#[test]
fn unsteady_rates_are_found() {
    let mut sender = Sender::good();
    sender.frame = |tick| {
        let slow = tick / 250 % 2 == 1 && tick % 4 != 0;
        (!slow).then(|| SLICE.to_vec())
    };
    assert_eq!(names(&sender.run(24)), ["frame_rate_swings"]);
    let mut sender = Sender::good();
    sender.frame = |tick| {
        let len = if tick / 250 % 2 == 1 { 100 } else { 1_200 };
        Some([SLICE, &vec![0; len][..]].concat())
    };
    assert_eq!(names(&sender.run(24)), ["bitrate_swings"]);
}

#[test]
fn losses_are_found_and_forgotten_when_they_are_over() {
    let mut sender = Sender::good();
    sender.lost = |sequence| sequence % 20 == 19;
    let report = sender.run(12);
    let loss = report.findings.iter().find(|f| f.defect.name() == "loss");
    let Some(Defect::Loss {
        share,
        beyond_repair,
    }) = loss.map(|found| found.defect.clone())
    else {
        panic!("{report:?}");
    };
    assert!((0.04..0.06).contains(&share), "{share}");
    assert!((0.04..=share).contains(&beyond_repair), "{beyond_repair}");
    sender.lost = |_| false;
    assert_eq!(names(&sender.run(30)), [""; 0]);
}

#[test]
fn one_half_alone_is_found() {
    let mut sender = Sender::good();
    sender.audio = false;
    let report = sender.run(8);
    assert_eq!(names(&report), ["silent_track"]);
    assert_eq!(report.findings[0].track, AUDIO);
    let expected = Defect::SilentTrack {
        kind: MediaKind::Audio,
        other: MediaKind::Video,
        ever: false,
    };
    assert_eq!(report.findings[0].defect, expected);
    sender.audio = true;
    sender.run(2);
    sender.frame = |_| None;
    sender.keyframe = |_| false;
    let report = sender.run(20);
    assert_eq!(
        report.findings[0].to_string(),
        "there is audio but no more video"
    );
}

#[test]
fn clocks_that_run_apart_and_silent_ones_are_found() {
    let mut sender = Sender::good();
    sender.drift = 500;
    let report = sender.run(40);
    assert_eq!(names(&report), ["clock_drift"]);
    let Defect::ClockDrift { ppm } = report.findings[0].defect else {
        panic!("{report:?}");
    };
    assert!((490..510).contains(&ppm), "{ppm}");
    let mut sender = Sender::good();
    sender.reports = false;
    assert_eq!(names(&sender.run(12)), ["no_sender_reports"]);
}

#[test]
fn the_offer_shows_what_can_not_be_repaired() {
    let mut spec = spec();
    spec.tracks[1].feedback = Feedback::default();
    let mut sender = Sender::good();
    sender.rig = Rig::with(spec);
    let report = sender.run(2);
    assert_eq!(names(&report), ["no_repair", "no_keyframe_requests"]);
}

#[test]
fn a_silent_publisher_is_not_judged_again_and_again() {
    let mut sender = Sender::good();
    sender.run(3);
    sender.rig.pass(Duration::from_secs(2));
    sender.rig.all_events();
    sender.rig.pass(Duration::from_secs(60));
    let reports = sender.rig.all_events();
    assert!(
        !reports
            .iter()
            .any(|event| matches!(event, Event::Report(_)))
    );
}
