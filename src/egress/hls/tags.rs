//! The low-latency tags of playlists (draft-pantos-hls-rfc8216bis, sections 4.4.3.7, 4.4.3.8, 4.4.4.9 and
//! 4.4.5), which `hls_m3u8` does not know.

use std::fmt::Write;
use std::time::Duration;

/// `EXT-X-SERVER-CONTROL` and `EXT-X-PART-INF`.
pub(super) fn server_control(
    text: &mut String,
    part_target: Duration,
    target_duration: u64,
    hold_back: Duration,
) {
    let hold_back = self::hold_back(part_target, hold_back);
    let _ = writeln!(
        text,
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={},PART-HOLD-BACK={}\n\
         #EXT-X-PART-INF:PART-TARGET={}",
        skip_boundary(target_duration).as_secs(),
        seconds(hold_back),
        seconds(part_target),
    );
}

/// How far players stay behind the newest part: as it is set, but never less than three parts.
pub(super) fn hold_back(part_target: Duration, setting: Duration) -> Duration {
    setting.max(part_target * HOLD_BACK_PARTS)
}

/// `EXT-X-SKIP`: so many segments that the player has already.
pub(super) fn skip(text: &mut String, segments: usize) {
    let _ = writeln!(text, "#EXT-X-SKIP:SKIPPED-SEGMENTS={segments}");
}

/// `EXT-X-PART`.
pub(super) fn part(text: &mut String, uri: &str, duration: Duration, independent: bool) {
    let independent = if independent { ",INDEPENDENT=YES" } else { "" };
    let duration = seconds(duration);
    let _ = writeln!(
        text,
        "#EXT-X-PART:DURATION={duration},URI=\"{uri}\"{independent}"
    );
}

/// `EXT-X-PRELOAD-HINT`: the part that comes next.
pub(super) fn preload_hint(text: &mut String, uri: &str) {
    let _ = writeln!(text, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{uri}\"");
}

/// `EXT-X-RENDITION-REPORT`: how far another playlist is.
pub(super) fn rendition_report(text: &mut String, uri: &str, segment: u64, part: usize) {
    let _ = writeln!(
        text,
        "#EXT-X-RENDITION-REPORT:URI=\"{uri}\",LAST-MSN={segment},LAST-PART={part}"
    );
}

/// Segments that end earlier than so long before the end may be skipped: at least six target durations.
pub(super) fn skip_boundary(target_duration: u64) -> Duration {
    Duration::from_secs(6 * target_duration)
}

/// `PART-HOLD-BACK` in part targets: at least three.
const HOLD_BACK_PARTS: u32 = 3;

/// As a decimal with at most five digits after the point, none of them for nothing.
fn seconds(time: Duration) -> String {
    let text = format!("{:.5}", time.as_secs_f64());
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_exact() {
        let millis = |millis| seconds(Duration::from_millis(millis));
        assert_eq!(
            [millis(500), millis(209), millis(2000)],
            ["0.5", "0.209", "2"]
        );
        assert_eq!(seconds(Duration::from_micros(33_333)), "0.03333");
        assert_eq!(seconds(Duration::ZERO), "0");
    }

    #[test]
    fn the_tags_are_those_of_the_draft() {
        let mut text = String::new();
        server_control(&mut text, Duration::from_millis(500), 2, Duration::ZERO);
        skip(&mut text, 4);
        part(&mut text, "a.m4s", Duration::from_millis(500), true);
        part(&mut text, "b.m4s", Duration::from_millis(480), false);
        preload_hint(&mut text, "c.m4s");
        rendition_report(&mut text, "audio.m3u8", 7, 2);
        assert_eq!(
            text,
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12,PART-HOLD-BACK=1.5\n\
             #EXT-X-PART-INF:PART-TARGET=0.5\n\
             #EXT-X-SKIP:SKIPPED-SEGMENTS=4\n\
             #EXT-X-PART:DURATION=0.5,URI=\"a.m4s\",INDEPENDENT=YES\n\
             #EXT-X-PART:DURATION=0.48,URI=\"b.m4s\"\n\
             #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"c.m4s\"\n\
             #EXT-X-RENDITION-REPORT:URI=\"audio.m3u8\",LAST-MSN=7,LAST-PART=2\n"
        );
    }
}
