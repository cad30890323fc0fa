//! AAC beside Opus: made on demand, and heard at the same instant.

use super::*;
use crate::egress::hls::Sample;
use crate::media::cpu::CpuTime;
use crate::media::hls::description::Description;
use crate::media::hls::supervisor::Supervisor;

const RATE: f64 = 48_000.0;

/// Sound that is nowhere like itself a little earlier: a tick every quarter of a second.
fn ticks(encoder: &str, payloader: &str) -> Vec<Recorded> {
    let source = "audiotestsrc wave=ticks tick-interval=250000000 marker-tick-period=3 \
                  samplesperbuffer=480 num-buffers=600 ! audio/x-raw,rate=48000,channels=2";
    record(AUDIO, &format!("{source} ! {encoder} ! {payloader}"))
}

/// The sound of a file as decoded by FFmpeg, one channel of 48 kHz, with the time of its first sample (s).
fn decoded(file: &Path) -> (f64, Vec<f64>) {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-show_entries",
            "packet=pts",
            "-of",
            "csv=p=0",
        ])
        .args(["-read_intervals", "%+#1"])
        .arg(file)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let first: f64 = text
        .lines()
        .next()
        .unwrap()
        .trim_end_matches(',')
        .parse()
        .unwrap();
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-f", "s16le", "-ac", "1", "-ar", "48000", "-"])
        .output()
        .unwrap();
    let samples = output.stdout.chunks_exact(2);
    let sound = samples.map(|two| f64::from(i16::from_le_bytes([two[0], two[1]])));
    (first / RATE, sound.collect())
}

/// By how many samples the second sound is later than the first, where they are most alike.
fn lag(one: &(f64, Vec<f64>), other: &(f64, Vec<f64>)) -> i64 {
    let shift = ((one.0 - other.0) * RATE).round() as i64;
    // Most of it is silence.
    let loud = (0..).zip(&one.1).filter(|(_, value)| value.abs() > 500.0);
    let loud: Vec<_> = loud.take(1500).collect();
    assert!(loud.len() > 500, "too little sound");
    let alike = |lag: i64| {
        let at = |index: i64| other.1.get(usize::try_from(index + shift + lag).ok()?);
        let products = loud
            .iter()
            .filter_map(|(index, value)| Some(**value * at(*index)?));
        products.sum::<f64>()
    };
    (-2000..2000)
        .max_by(|a, b| alike(*a).total_cmp(&alike(*b)))
        .unwrap()
}

/// The segments of a rendition with their numbers.
fn segments(bench: &Bench, list: &str) -> Vec<(String, String)> {
    let text = bench.text(list);
    let names = text.lines().filter(|line| !line.starts_with('#'));
    let numbered = names.map(|name| {
        let number = name.split_once('-').unwrap().1;
        (number.to_owned(), name.to_owned())
    });
    numbered.collect()
}

/// One segment as FFmpeg hears it.
fn heard(bench: &Bench, list: &str, segment: &str) -> (f64, Vec<f64>) {
    let text = bench.text(list);
    let map = text
        .split("URI=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let file = [bench.bytes(map.unwrap()), bench.bytes(segment)].concat();
    let path = std::env::temp_dir().join(format!("tidegate-{}-{segment}", std::process::id()));
    std::fs::write(&path, file).unwrap();
    let sound = decoded(&path);
    std::fs::remove_file(path).unwrap();
    sound
}

/// The whole segments of a rendition, none while it has no playlist.
fn whole(bench: &Bench, list: &str) -> Vec<(String, String)> {
    match bench.get(list) {
        Resource::Playlist(_) => segments(bench, list),
        _ => Vec::new(),
    }
}

fn number((segment, _): &(String, String)) -> u32 {
    segment.strip_suffix(".m4s").unwrap().parse().unwrap()
}

/// How much is listed of a rendition from the begin of segment `first` on, where each lasts two seconds.
fn listed_until(bench: &Bench, list: &str, first: u32) -> Option<Duration> {
    let newest = whole(bench, list).last().map(number)?;
    let text = bench.text(list);
    let (_, open) = text.rsplit_once("#EXTINF:")?;
    let part = |line: &str| {
        let seconds = line
            .strip_prefix("#EXT-X-PART:DURATION=")?
            .split(',')
            .next()?;
        Some(Duration::from_secs_f64(seconds.parse().ok()?))
    };
    let parts: Duration = open.lines().filter_map(part).sum();
    Some((newest + 1 - first) * Duration::from_secs(2) + parts)
}

/// Sound that is missing is waited for longer than two of them.
const PART: Duration = Duration::from_millis(200);

#[test]
fn aac_is_made_on_demand_and_heard_with_opus() {
    let mut bench = Bench::new();
    bench.settings.part_target = PART;
    let all = packets(vec![ticks("opusenc", "rtpopuspay")]);
    let feed = bench.start(vec![info(AUDIO, Codec::Opus)]);
    let begun = Instant::now();
    let (mut first, mut pushed) = (None, Duration::ZERO);
    for packet in (0..).flat_map(|round| again(&all, round, Duration::from_secs(6))) {
        push(&feed, &[packet]);
        pushed += Duration::from_millis(20);
        // Sound that is half a second behind is given up for silence; nobody is given so much to do here.
        while let Some(first) = first
            && ["audio.m3u8", "aac.m3u8"].into_iter().any(|list| {
                listed_until(&bench, list, first).is_none_or(|end| end + 2 * PART < pushed)
            })
        {
            assert!(begun.elapsed_within(Duration::from_secs(60)), "no AAC");
            std::thread::yield_now();
        }
        if first.is_none() {
            // Nothing says how far the branch has come before there are playlists.
            std::thread::sleep(Duration::from_millis(4));
            first = whole(&bench, "audio.m3u8").first().map(number);
        }
        if whole(&bench, "aac.m3u8").len() > 3 {
            break;
        }
    }
    feed.finish();
    let index = bench.text("index.m3u8");
    assert!(
        index.contains("mp4a.40.2") && index.contains("opus"),
        "{index}"
    );
    let (aac, opus) = (segments(&bench, "aac.m3u8"), segments(&bench, "audio.m3u8"));
    let mut compared = 0;
    // The last one is as long as there was something when nothing more came.
    for (number, aac) in &aac[1..aac.len() - 1] {
        let Some((_, opus)) = opus.iter().find(|(other, _)| other == number) else {
            continue;
        };
        let opus = heard(&bench, "audio.m3u8", opus);
        let lag = lag(&opus, &heard(&bench, "aac.m3u8", aac));
        assert!(lag.abs() <= 2, "AAC is late by {lag} samples in {number}");
        compared += 1;
    }
    assert!(compared > 1);
}

#[test]
fn a_rendition_that_nobody_asked_for_is_gone_at_the_end() {
    let bench = Bench::new();
    bench.publish(vec![info(AUDIO, Codec::Opus)], &packets(vec![opus()]));
    assert!(!bench.text("index.m3u8").contains("aac"));
}

/// What [`Description::delay`] says is measured here: the sound comes back where it was.
#[test]
fn each_encoder_is_late_by_what_is_taken_out() {
    for (name, description) in Description::aac().unwrap().with_each_aac_encoder() {
        let packets = packets(vec![ticks("opusenc", "rtpopuspay")]);
        let (wake, cpu) = (Wake::default(), CpuTime::default());
        let now = Instant::now();
        let mut encoder =
            Supervisor::start(Codec::Opus, description, Vec::new(), &wake, &cpu, now).unwrap();
        let opus = samples(&packets);
        for sample in &opus {
            encoder.push_sample(sample, now).unwrap();
        }
        let aac = encoder.finish(now);
        let directory = std::env::temp_dir();
        let write = |samples: &[Sample], coding: &str| {
            let path = directory.join(format!(
                "tidegate-{}-{name}-{coding}.mp4",
                std::process::id()
            ));
            std::fs::write(&path, one_segment(samples)).unwrap();
            let sound = decoded(&path);
            std::fs::remove_file(path).unwrap();
            sound
        };
        let lag = lag(&write(&opus, "opus"), &write(&aac, "aac"));
        assert!(lag.abs() <= 2, "{name} is late by {lag} samples more");
    }
}

/// What the encoder gets of packets of 20 ms.
fn samples(packets: &[Arc<Packet>]) -> Vec<Sample> {
    let format = Arc::new(crate::egress::hls::Format::opus(2));
    let numbered = (0..).zip(packets);
    let sample = |(number, packet): (i64, &Arc<Packet>)| {
        let time = 10_000_000_000 + number * 20_000_000;
        Sample {
            dts: time,
            pts: time,
            duration: 20_000_000,
            keyframe: true,
            data: packet.payload.clone().into(),
            format: Arc::clone(&format),
        }
    };
    numbered.map(sample).collect()
}

#[test]
fn sound_that_pauses_is_no_failure_of_its_encoder() {
    let opus = samples(&packets(vec![opus()]));
    let (wake, cpu) = (Wake::default(), CpuTime::default());
    let (description, begun) = (Description::aac().unwrap(), Instant::now());
    let start = Supervisor::start(Codec::Opus, description, Vec::new(), &wake, &cpu, begun);
    let mut encoder = start.unwrap();
    // So little is kept until more comes.
    let (first, rest) = opus.split_at(3);
    for sample in first {
        encoder.push_sample(sample, begun).unwrap();
    }
    let later = begun + Duration::from_secs(10);
    assert!(!encoder.handle_timeout(later).unwrap());
    for sample in rest {
        encoder.push_sample(sample, later).unwrap();
    }
    assert!(encoder.finish(later).len() > 200);
}

/// Samples as a file, at their media times.
fn one_segment(samples: &[Sample]) -> Vec<u8> {
    use crate::egress::hls::fmp4::{FragmentSample, fragment, init_segment};
    let format = &samples[0].format;
    let ticks = |time: i64| (time as f64 * RATE / 1e9).round() as i64;
    let fragments: Vec<_> = samples
        .iter()
        .map(|sample| FragmentSample {
            duration: (ticks(sample.dts + sample.duration) - ticks(sample.dts)) as u32,
            composition_offset: 0,
            keyframe: true,
            data: sample.data.clone(),
        })
        .collect();
    let mut file = init_segment(format).unwrap().to_vec();
    file.extend(fragment(1, ticks(samples[0].dts) as u64, &fragments).unwrap());
    file
}
