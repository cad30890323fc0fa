//! `tidegate publish`: sends a test picture, a file or a camera to a WHIP endpoint.
//!
//! Holds the flags and the output; [`crate::media::publish`] sends, [`super::signalling`] talks to the server.

mod progress;
mod value;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::time::Instant;

use super::signalling::{Endpoint, Session, SignallingError, Trust};
use super::{goodbye, stop_signal};
use crate::config::Secret;
use crate::media::publish::{Error, Options, Publisher, Source};
use crate::rtp::Codec;
use progress::Output;
use value::Size;

/// Publish a test picture, a file or a camera by WHIP.
#[derive(Args, Clone, Debug)]
pub struct PublishArgs {
    /// The WHIP endpoint, such as http://127.0.0.1:8080/whip/demo
    #[arg(long)]
    url: String,
    /// The bearer token that the endpoint asks for
    #[arg(long, env = "TIDEGATE_TOKEN", hide_env_values = true)]
    token: Option<Secret>,
    #[command(flatten)]
    trust: Trust,
    /// The video codec
    #[arg(long, value_enum, default_value_t = VideoCodec::H264)]
    codec: VideoCodec,
    /// The audio codec
    #[arg(long, value_enum, default_value_t = AudioCodec::Opus)]
    audio: AudioCodec,
    /// The video bit rate, such as 2500k or 4M
    #[arg(long, default_value = "2500k", value_parser = value::bit_rate)]
    bitrate: u32,
    /// The size of the picture
    #[arg(long, default_value = "1280x720", value_parser = value::size)]
    size: Size,
    /// Pictures per second
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=240))]
    fps: u32,
    /// The longest time between two keyframes
    #[arg(long, default_value = "2s", value_parser = value::duration)]
    keyframe_interval: Duration,
    /// How long to publish [default: until the file ends, or Ctrl-C]
    #[arg(long, value_parser = value::duration)]
    duration: Option<Duration>,
    /// Publish this file instead of the test picture
    #[arg(long, conflicts_with = "device")]
    file: Option<PathBuf>,
    /// Publish a camera and the default microphone instead: a path such as /dev/video0, or `auto`
    #[arg(long)]
    device: Option<PathBuf>,
    /// Print one line of JSON each second, and one at the end
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum VideoCodec {
    H264,
    /// H264 whose pictures are sent in another order than they are shown
    #[value(name = "h264-b-frames")]
    H264BFrames,
    Vp8,
    Vp9,
    Av1,
    H265,
}

impl From<VideoCodec> for Codec {
    fn from(codec: VideoCodec) -> Self {
        match codec {
            VideoCodec::H264 | VideoCodec::H264BFrames => Self::H264,
            VideoCodec::Vp8 => Self::Vp8,
            VideoCodec::Vp9 => Self::Vp9,
            VideoCodec::Av1 => Self::Av1,
            VideoCodec::H265 => Self::H265,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AudioCodec {
    Opus,
    None,
}

impl PublishArgs {
    fn source(&self) -> Source {
        match (&self.file, &self.device) {
            (Some(path), _) => Source::File(path.clone()),
            (None, Some(path)) if path.as_os_str() == "auto" => Source::AutoDevice,
            (None, Some(path)) => Source::Device(path.clone()),
            (None, None) => Source::Test,
        }
    }
}

/// Why publishing did not go as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The server could not be reached or refused.
    #[error(transparent)]
    Signalling(#[from] SignallingError),
    /// The source, an encoder or the connection failed.
    #[error(transparent)]
    Media(#[from] Error),
    /// The file was shorter than `--duration`.
    #[error(
        "the file ended before --duration was over; leave --duration out or give a longer file"
    )]
    TooShort,
    /// A signal came before there was a connection.
    #[error("interrupted before the broadcast began")]
    Interrupted,
    /// A signal came before the time was over that was asked for.
    #[error("interrupted before --duration was over")]
    CutShort,
    /// The output could not be written.
    #[error("can't write to the standard output: {0}")]
    Output(#[from] std::io::Error),
}

/// Publishes until `--duration` is over, the file ends, or a signal comes.
///
/// # Errors
/// When it could not publish, or not for as long as was asked.
pub async fn run(args: PublishArgs) -> Result<ExitCode, PublishError> {
    let token = args.token.as_ref().map(Secret::expose);
    let endpoint = Endpoint::trusting(&args.trust, &args.url, token)?;
    let options = Options {
        video: args.codec.into(),
        b_frames: args.codec == VideoCodec::H264BFrames,
        audio: args.audio == AudioCodec::Opus,
        bitrate: args.bitrate,
        width: args.size.width,
        height: args.size.height,
        fps: args.fps,
        keyframe_interval: args.keyframe_interval,
        local_addresses: endpoint.loopback().await,
    };
    let mut publisher = Publisher::new(&args.source(), &options)?;
    let offer = publisher.offer().await?;
    let mut output = Output::new(args.json, Instant::now());
    let session = endpoint.create(offer).await?;
    let result = publish(&mut publisher, &session, &args, &mut output).await;
    let end = Instant::now();
    let stats = publisher.stats().await;
    // Media stops before the session ends, as a server may take media without a session amiss.
    drop(publisher);
    goodbye(session).await;
    output.summary(end, &stats, result.as_ref().err())?;
    result.map(|()| ExitCode::SUCCESS)
}

/// From the answer to the end of the broadcast.
async fn publish(
    publisher: &mut Publisher,
    session: &Session,
    args: &PublishArgs,
    output: &mut Output,
) -> Result<(), PublishError> {
    let stop = stop_signal();
    tokio::pin!(stop);
    tokio::select! {
        connected = publisher.connect(&session.answer) => connected?,
        () = &mut stop => return Err(PublishError::Interrupted),
    }
    let start = Instant::now();
    output.connected(start)?;
    let end = args.duration.map(|duration| start + duration);
    let mut second = start;
    let ended = publisher.ended();
    tokio::pin!(ended);
    loop {
        second += Duration::from_secs(1);
        let next = end.map_or(second, |end| end.min(second));
        tokio::select! {
            // What ends it goes before what is due.
            biased;
            () = &mut stop => {
                return if end.is_some() { Err(PublishError::CutShort) } else { Ok(()) };
            }
            ended = &mut ended => {
                ended?;
                return if end.is_some() { Err(PublishError::TooShort) } else { Ok(()) };
            }
            () = tokio::time::sleep_until(next) => {}
        }
        if Some(next) == end {
            return Ok(());
        }
        let stats = publisher.stats().await;
        output.progress(Instant::now(), &stats)?;
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::cli::signalling::tests::{read_request, response};
    use crate::media::publish::receiver::Receiver;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: PublishArgs,
    }

    fn parse(line: &str) -> Result<PublishArgs, clap::Error> {
        Line::try_parse_from(line.split(' ')).map(|line| line.args)
    }

    #[test]
    fn defaults_are_a_test_picture_in_h264_with_sound() {
        let args = parse("publish --url http://127.0.0.1/whip/a").unwrap();
        assert_eq!(args.source(), Source::Test);
        assert_eq!(Codec::from(args.codec), Codec::H264);
        assert_eq!(args.audio, AudioCodec::Opus);
        assert_eq!((args.bitrate, args.fps), (2_500_000, 30));
        assert_eq!(args.keyframe_interval, Duration::from_secs(2));
        assert_eq!(args.duration, None);
    }

    #[test]
    fn a_source_is_a_file_or_a_device_but_not_both() {
        let source =
            |flags| parse(&format!("publish --url http://a/ {flags}")).map(|args| args.source());
        assert_eq!(
            source("--file a.mp4").unwrap(),
            Source::File("a.mp4".into())
        );
        assert_eq!(source("--device auto").unwrap(), Source::AutoDevice);
        assert_eq!(
            source("--device /dev/video1").unwrap(),
            Source::Device("/dev/video1".into())
        );
        assert!(source("--device auto --file a.mp4").is_err());
    }

    #[test]
    fn the_token_does_not_show_in_debug_output() {
        let args = parse("publish --url http://a/ --token hush").unwrap();
        assert!(!format!("{args:?}").contains("hush"));
    }

    #[tokio::test]
    async fn a_broadcast_runs_its_time_and_ends_its_session() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read_request(&mut stream).await;
            let (_, offer) = request.split_once("\r\n\r\n").unwrap();
            let (_receiver, answer) = Receiver::answer(offer).await;
            let headers = ["Content-Type: application/sdp", "Location: /session/1"];
            let created = response("201 Created", &headers, &answer);
            stream.write_all(created.as_bytes()).await.unwrap();

            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read_request(&mut stream).await;
            stream
                .write_all(response("200 OK", &[], "").as_bytes())
                .await
                .unwrap();
            request
        });
        let line = format!(
            "publish --url http://127.0.0.1:{port}/whip/a --codec vp8 --size 160x90 --duration 1500ms --json"
        );
        let code = run(parse(&line).unwrap()).await.unwrap();
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
        assert!(server.await.unwrap().starts_with("DELETE /session/1 "));
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_an_error_after_the_offer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let line = format!(
            "publish --url http://127.0.0.1:{port}/whip/a --codec vp8 --size 160x90 --audio none"
        );
        let error = run(parse(&line).unwrap()).await.unwrap_err();
        assert!(
            matches!(
                error,
                PublishError::Signalling(SignallingError::Unreachable { .. })
            ),
            "{error}"
        );
    }
}
