//! Whether a viewing was good, and what failed if not.
//!
//! Pure.

use std::time::Duration;

use crate::cli::signalling::SignallingError;
use crate::rtp::MediaKind;

use super::peer::PeerError;
use super::report::Report;

/// Media that stopped this long before the end did not last.
const SILENCE: Duration = Duration::from_secs(2);

/// What failed on the way to media, with a hint for whoever reads it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// No session.
    #[error("HTTP: {0}")]
    Http(#[source] SignallingError),
    /// A session whose answer cannot be used.
    #[error("answer: {0}")]
    Answer(#[source] PeerError),
    /// An answer that sends nothing.
    #[error(
        "answer: the server accepted neither audio nor video. Its stream probably has no codec that we offer"
    )]
    NothingAccepted,
    /// No pair of addresses works.
    #[error(
        "ICE: no connection came about in {0:.0?}. Check that the server's UDP port is open, and that the candidates in its answer are addresses that this machine can reach"
    )]
    Ice(Duration),
    /// ICE works, DTLS does not.
    #[error(
        "DTLS: addresses were found, but the handshake did not end in {0:.0?}. Check for a firewall that drops large UDP packets, and that the fingerprint in the answer is the server's"
    )]
    Dtls(Duration),
    /// Connected, and nothing came.
    #[error(
        "media: connected, but no packet came in {0:.0?}. Check that somebody publishes this stream"
    )]
    NoPackets(Duration),
    /// Packets, and no frame of them.
    #[error(
        "media: packets came, but not one whole {0} frame. Check for packet loss, and that the publisher answers keyframe requests"
    )]
    NoFrames(MediaKind),
    /// The server accepted video and sends audio only.
    #[error(
        "media: only audio came though the server accepted video. Check that the publisher sends video"
    )]
    NoVideo,
    /// Media ended early.
    #[error("media: it stopped {0:.1?} before the end. The publisher may have left")]
    Stopped(Duration),
    /// The connection broke while media flowed.
    #[error("connection: it broke after {0:.1?}. The server may have ended the session")]
    Broken(Duration),
    /// The user stopped it.
    #[error("interrupted before the duration was over")]
    Interrupted,
}

impl Failure {
    /// The step that failed, one word for scripts.
    pub(super) fn stage(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Answer(_) | Self::NothingAccepted => "answer",
            Self::Ice(_) => "ice",
            Self::Dtls(_) => "dtls",
            Self::NoPackets(_) | Self::NoFrames(_) | Self::NoVideo | Self::Stopped(_) => "media",
            Self::Broken(_) => "connection",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Which kinds of media an SDP answer says that the server sends.
///
/// A section is refused by port 0 (RFC 3264, section 6) and silent by its direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) audio: bool,
    pub(super) video: bool,
}

impl Accepted {
    pub(super) fn read(answer: &str) -> Self {
        let mut accepted = Self::default();
        // The direction before the first section is the default of all (RFC 8866, section 6.7).
        let mut sends_by_default = true;
        let mut section: Option<&mut bool> = None;
        let mut unknown = false;
        for line in answer.lines().map(str::trim_end) {
            if let Some(media) = line.strip_prefix("m=") {
                let mut words = media.split_ascii_whitespace();
                section = match words.next() {
                    Some("audio") => Some(&mut accepted.audio),
                    Some("video") => Some(&mut accepted.video),
                    _ => None,
                };
                unknown = section.is_none();
                let is_refused = words.next() == Some("0");
                if let Some(sends) = &mut section {
                    **sends = sends_by_default && !is_refused;
                }
                if is_refused {
                    section = None;
                    unknown = true;
                }
                continue;
            }
            let sends = match line {
                "a=sendonly" | "a=sendrecv" => true,
                "a=recvonly" | "a=inactive" => false,
                _ => continue,
            };
            match &mut section {
                Some(section) => **section = sends,
                None if !unknown => sends_by_default = sends,
                None => {}
            }
        }
        accepted
    }
}

/// How the viewing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The duration is over, or the user ended one without.
    Over,
    /// The user ended it early.
    Interrupted,
    /// The connection broke.
    Broken,
    /// Nothing came in time.
    TimedOut,
}

/// Judges a viewing that got as far as an answer. The instants are those of the report's clock.
pub(super) fn judge(
    report: &Report,
    accepted: Accepted,
    end: End,
    start: std::time::Instant,
    now: std::time::Instant,
) -> Result<(), Failure> {
    let waited = now.saturating_duration_since(start);
    if !accepted.audio && !accepted.video {
        return Err(Failure::NothingAccepted);
    }
    if end == End::Interrupted {
        return Err(Failure::Interrupted);
    }
    let Some(last) = report.last_packet() else {
        return Err(match (report.ice, report.connected) {
            (_, Some(connected)) => Failure::NoPackets(now.saturating_duration_since(connected)),
            (Some(_), None) => Failure::Dtls(waited),
            (None, None) => Failure::Ice(waited),
        });
    };
    if end == End::Broken {
        return Err(Failure::Broken(waited));
    }
    let has_video_track = report
        .tracks
        .iter()
        .any(|track| track.codec.kind() == MediaKind::Video);
    if accepted.video && !report.has(MediaKind::Video) {
        return Err(match has_video_track {
            true => Failure::NoFrames(MediaKind::Video),
            false => Failure::NoVideo,
        });
    }
    if !accepted.video && !report.has(MediaKind::Audio) {
        return Err(Failure::NoFrames(MediaKind::Audio));
    }
    let silence = now.saturating_duration_since(last);
    match silence > SILENCE {
        true => Err(Failure::Stopped(silence)),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::Bytes;

    use super::super::frame::Packet;
    use super::super::report::Clock;
    use super::*;
    use crate::rtp::Codec;

    const BOTH: Accepted = Accepted {
        audio: true,
        video: true,
    };

    struct Fixture {
        start: Instant,
        report: Report,
    }

    impl Fixture {
        fn new() -> Self {
            let start = Instant::now();
            let clock = Clock {
                instant: start,
                unix: 0.0,
            };
            Self {
                start,
                report: Report::new(clock),
            }
        }

        fn packet(&mut self, codec: Codec, payload: &'static [u8]) {
            let packet = Packet {
                sequence: 1,
                timestamp: 1,
                marker: true,
                payload: Bytes::from_static(payload),
            };
            self.report
                .handle_packet(self.start, 1, codec, false, packet, |_, _| {});
        }

        fn stage(&self, accepted: Accepted, end: End, after: u64) -> &'static str {
            let now = self.start + Duration::from_secs(after);
            match judge(&self.report, accepted, end, self.start, now) {
                Ok(()) => "ok",
                Err(failure) => failure.stage(),
            }
        }
    }

    #[test]
    fn the_step_that_failed_is_named() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.stage(Accepted::default(), End::Over, 1), "answer");
        assert_eq!(fixture.stage(BOTH, End::TimedOut, 1), "ice");
        fixture.report.ice = Some(fixture.start);
        assert_eq!(fixture.stage(BOTH, End::TimedOut, 1), "dtls");
        fixture.report.connected = Some(fixture.start);
        assert_eq!(fixture.stage(BOTH, End::TimedOut, 1), "media");
        assert_eq!(fixture.stage(BOTH, End::Interrupted, 1), "interrupted");
    }

    #[test]
    fn audio_is_enough_only_without_video() {
        let mut fixture = Fixture::new();
        fixture.packet(Codec::Opus, &[1]);
        assert_eq!(fixture.stage(BOTH, End::Over, 1), "media");
        let audio = Accepted {
            video: false,
            ..BOTH
        };
        assert_eq!(fixture.stage(audio, End::Over, 1), "ok");
    }

    #[test]
    fn media_must_last() {
        let mut fixture = Fixture::new();
        fixture.packet(Codec::Vp8, &[0x10, 0]);
        assert_eq!(fixture.stage(BOTH, End::Over, 1), "ok");
        assert_eq!(fixture.stage(BOTH, End::Over, 5), "media");
        assert_eq!(fixture.stage(BOTH, End::Broken, 1), "connection");
    }

    #[test]
    fn refused_and_silent_sections_are_not_waited_for() {
        let answer = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=sendonly\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\n";
        let accepted = Accepted::read(answer);
        assert_eq!((accepted.audio, accepted.video), (true, false));
        let answer = "m=audio 9 x 111\r\na=inactive\r\nm=video 9 x 96\r\n";
        let accepted = Accepted::read(answer);
        assert_eq!((accepted.audio, accepted.video), (false, true));
    }
}
