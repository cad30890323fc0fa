//! Offers of real encoders, and pipelines that keep what they promise. Nothing leaves the machine.

use super::description::{self, Description};
use super::encoder::{ENCODERS, Encoder};
use super::receiver::Receiver;
use super::*;
use crate::rtp::MediaKind;

fn options(video: Codec) -> Options {
    Options {
        video,
        b_frames: false,
        audio: true,
        bitrate: 300_000,
        width: 160,
        height: 90,
        fps: 15,
        keyframe_interval: Duration::from_secs(2),
        local_addresses: vec![[127, 0, 0, 1].into()],
    }
}

async fn offer(video: Codec) -> String {
    let mut publisher = Publisher::new(&Source::Test, &options(video)).unwrap();
    publisher.offer().await.unwrap()
}

/// The names in the head of a description: its contract.
fn promised(description: Description) -> Vec<&'static str> {
    description
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("#   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

#[test]
fn every_description_parses_and_has_the_elements_that_it_promises() {
    gst::init().unwrap();
    let encoders = ENCODERS
        .iter()
        .filter(|encoder| encoder.missing().is_none())
        .map(|encoder| encoder.description);
    let others = [
        description::TEST_VIDEO,
        description::TEST_AUDIO,
        description::DEVICE_VIDEO,
        description::AUTO_VIDEO,
        description::AUTO_AUDIO,
        description::FILE,
        description::VIDEO,
        description::AUDIO,
    ];
    for description in encoders.chain(others) {
        let bin = description::load(description).unwrap();
        let names = promised(description);
        assert!(
            names.contains(&"out"),
            "{} promises nothing",
            description.name
        );
        for name in names {
            description::named(&bin, description, name).unwrap();
        }
    }
}

#[test]
fn encoders_take_bit_rate_and_keyframe_distance() {
    gst::init().unwrap();
    let mut seen = 0;
    for encoder in ENCODERS
        .iter()
        .filter(|encoder| encoder.missing().is_none())
    {
        let bin = description::load(encoder.description).unwrap();
        let element = bin.by_name("encoder").unwrap();
        encoder.configure(&element, &options(Codec::H264));
        let value = |name| {
            element
                .property_value(name)
                .transform::<i64>()
                .unwrap()
                .get::<i64>()
                .unwrap()
        };
        assert_eq!(value(encoder.bitrate) * i64::from(encoder.unit), 300_000);
        assert_eq!(value(encoder.keyframe_distance), 30);
        seen += 1;
    }
    assert_ne!(seen, 0, "no encoder at all is installed");
}

#[tokio::test]
async fn an_offer_sends_only_in_one_bundle_from_the_named_address() {
    let offer = offer(Codec::Vp8).await;
    assert_eq!(offer.matches("a=sendonly").count(), 2, "{offer}");
    assert!(offer.contains("a=group:BUNDLE video0 audio1"), "{offer}");
    assert!(
        offer.contains("VP8/90000") && offer.contains("OPUS/48000/2"),
        "{offer}"
    );
    assert!(
        offer.contains("rtx/90000") && offer.contains("a=rtcp-fb:96 nack"),
        "{offer}"
    );
    let candidates: Vec<&str> = offer
        .lines()
        .filter(|line| line.starts_with("a=candidate:"))
        .collect();
    assert_ne!(candidates, [""; 0]);
    for candidate in candidates {
        assert!(
            candidate.contains(" UDP ") && candidate.contains(" 127.0.0.1 "),
            "{candidate}"
        );
    }
}

#[tokio::test]
async fn every_codec_that_can_be_encoded_is_offered() {
    gst::init().unwrap();
    for codec in [Codec::H264, Codec::Vp9, Codec::H265, Codec::Av1] {
        if Encoder::find(codec, false).is_ok() {
            let offer = offer(codec).await;
            assert!(offer.contains(&format!("{codec}/90000")), "{offer}");
        }
    }
}

#[tokio::test]
async fn h264_is_constrained_baseline_which_has_no_b_frames() {
    let offer = offer(Codec::H264).await;
    let level = offer.split("profile-level-id=").nth(1).unwrap();
    assert!(
        level.starts_with("42c0") || level.starts_with("42e0"),
        "{offer}"
    );
    assert!(offer.contains("packetization-mode=1"), "{offer}");
}

#[tokio::test]
async fn b_frames_are_offered_with_a_profile_that_has_them() {
    let options = Options {
        b_frames: true,
        ..options(Codec::H264)
    };
    let mut publisher = Publisher::new(&Source::Test, &options).unwrap();
    let offer = publisher.offer().await.unwrap();
    assert!(offer.contains("profile-level-id=4d"), "{offer}");
}

#[test]
fn a_file_that_is_not_there_is_named_in_the_error() {
    let source = Source::File("/nonexistent/clip.mp4".into());
    let error = Publisher::new(&source, &options(Codec::Vp8)).err().unwrap();
    assert!(
        error.to_string().contains("/nonexistent/clip.mp4"),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_that_is_not_usable_is_refused() {
    let mut publisher = Publisher::new(&Source::Test, &options(Codec::Vp8)).unwrap();
    publisher.offer().await.unwrap();
    let rejected =
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\n";
    for answer in ["", "<html>", rejected] {
        let error = publisher.connect(answer).await.unwrap_err();
        assert!(matches!(error, Error::Answer { .. }), "{error}");
    }
}

#[test]
fn what_can_not_be_encoded_is_refused_by_name() {
    gst::init().unwrap();
    let error = Publisher::new(&Source::Test, &options(Codec::Pcmu))
        .err()
        .unwrap();
    assert!(error.to_string().contains("PCMU"), "{error}");
}

/// Asks again and again until the counters are as wanted; `tokio` ends a test that waits for ever.
async fn stats_with(publisher: &Publisher, wanted: impl Fn(&Stats) -> bool) -> Stats {
    tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let stats = publisher.stats().await;
            if wanted(&stats) {
                return stats;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn media_flows_over_loopback_and_a_lost_connection_is_told() {
    let mut publisher = Publisher::new(&Source::Test, &options(Codec::H264)).unwrap();
    let offer = publisher.offer().await.unwrap();
    let (receiver, answer) = Receiver::answer(&offer).await;
    publisher.connect(&answer).await.unwrap();
    let stats = stats_with(&publisher, |stats| {
        stats.frames > 30 && stats.round_trip.is_some()
    })
    .await;
    assert!(
        stats.keyframes >= 1 && stats.packets_sent > stats.frames,
        "{stats:?}"
    );
    assert!(
        stats.bytes_sent > 1000 && stats.packets_lost == 0,
        "{stats:?}"
    );

    drop(receiver);
    publisher.silence = Duration::from_millis(500);
    let lost = tokio::time::timeout(Duration::from_secs(30), publisher.ended()).await;
    assert!(matches!(lost, Ok(Err(Error::Lost))), "{lost:?}");
}

#[tokio::test]
async fn a_keyframe_comes_when_it_is_asked_for() {
    for codec in [Codec::H264, Codec::Vp8, Codec::Vp9] {
        let options = Options {
            keyframe_interval: Duration::from_secs(600),
            ..options(codec)
        };
        let mut publisher = Publisher::new(&Source::Test, &options).unwrap();
        let offer = publisher.offer().await.unwrap();
        let (receiver, answer) = Receiver::answer(&offer).await;
        publisher.connect(&answer).await.unwrap();
        let before = stats_with(&publisher, |stats| stats.frames > 10).await;
        receiver.request_keyframe();
        let after = stats_with(&publisher, |stats| stats.keyframes > before.keyframes).await;
        assert!(after.keyframe_requests > 0, "{codec}: {after:?}");
    }
}

#[tokio::test]
async fn av1_flows_too() {
    let mut publisher = Publisher::new(&Source::Test, &options(Codec::Av1)).unwrap();
    let offer = publisher.offer().await.unwrap();
    let (_receiver, answer) = Receiver::answer(&offer).await;
    publisher.connect(&answer).await.unwrap();
    // With a keyframe interval of 30 frames: the second keyframe came, too.
    stats_with(&publisher, |stats| {
        stats.keyframes >= 2 && stats.packets_sent > 60
    })
    .await;
}

/// A second of pictures in a file of its own, without sound.
fn clip(name: &str) -> PathBuf {
    gst::init().unwrap();
    let path = std::env::temp_dir().join(format!("tidegate-{}-{name}.webm", std::process::id()));
    let pipeline = gst::parse::launch(
        "videotestsrc num-buffers=15 ! video/x-raw,width=160,height=90,framerate=15/1 \
         ! vp8enc deadline=1 ! webmmux ! filesink name=sink",
    )
    .unwrap();
    let bin = pipeline.downcast::<gst::Bin>().unwrap();
    bin.by_name("sink").unwrap().set_property("location", &path);
    bin.set_state(gst::State::Playing).unwrap();
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = bin
        .bus()
        .unwrap()
        .timed_pop_filtered(gst::ClockTime::from_seconds(20), &kinds);
    assert_eq!(end.unwrap().type_(), gst::MessageType::Eos);
    bin.set_state(gst::State::Null).unwrap();
    path
}

#[tokio::test]
async fn a_file_is_sent_to_its_end_at_its_own_speed() {
    let path = clip("whole");
    let options = Options {
        audio: false,
        ..options(Codec::H264)
    };
    let mut publisher = Publisher::new(&Source::File(path.clone()), &options).unwrap();
    let offer = publisher.offer().await.unwrap();
    let (_receiver, answer) = Receiver::answer(&offer).await;
    publisher.connect(&answer).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), publisher.ended())
        .await
        .unwrap()
        .unwrap();
    assert!(publisher.stats().await.frames > 1);
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn a_file_without_sound_is_told_from_one_with() {
    let path = clip("silent");
    let source = Source::File(path.clone());
    let mut publisher = Publisher::new(&source, &options(Codec::H264)).unwrap();
    let error = publisher.offer().await.unwrap_err();
    assert!(matches!(error, Error::NoTrack(MediaKind::Audio)), "{error}");
    assert!(error.to_string().contains("--audio none"), "{error}");
    std::fs::remove_file(path).unwrap();
}
