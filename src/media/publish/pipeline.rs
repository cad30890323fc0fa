//! The publisher's pipeline: source, conditioning, encoder and payloader, `webrtcbin`.
//!
//! The parts are the descriptions in `pipelines/publish-*.launch`; each says in its head which of
//! its elements are used by name. What depends on the options is set as properties.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};
use tokio::sync::watch;

use super::description::{
    AUDIO, AUTO_AUDIO, AUTO_VIDEO, DEVICE_VIDEO, Description, FILE, SLATE_AUDIO, TEST_AUDIO,
    TEST_VIDEO, VIDEO, expose, link, load, named, pad, parse,
};
use super::encoded::Encoded;
use super::encoder::Encoder;
use super::{Error, Options, Progress, Source, av1, stamp, webrtc};
use crate::rtp::MediaKind;

/// What [`build`] makes.
pub(super) struct Parts {
    pub(super) pipeline: gst::Pipeline,
    pub(super) webrtc: gst::Element,
    pub(super) encoded: Encoded,
}

/// Puts the pipeline together; its threads report to `progress`.
pub(super) fn build(
    source: &Source,
    options: &Options,
    progress: &watch::Sender<Progress>,
) -> Result<Parts, Error> {
    let encoder = Encoder::find(options.video, options.b_frames)?;
    let pipeline = gst::Pipeline::new();
    let webrtc = webrtc::element(&options.local_addresses, progress)?;
    add(&pipeline, &webrtc)?;
    watch_bus(&pipeline, progress);

    let paced = matches!(source, Source::File(_));
    let encoded = Encoded::default();
    let video = video_line(&pipeline, encoder, options, paced, &encoded)?;
    webrtc::add_line(&webrtc, &video.end, progress)?;
    let audio = options
        .audio
        .then(|| {
            let line = audio_line(&pipeline, paced)?;
            webrtc::add_line(&webrtc, &line.end, progress)?;
            Ok(line)
        })
        .transpose()?;

    match source {
        Source::Test => {
            let picture = video.start.clone();
            attach(&pipeline, TEST_VIDEO, None, picture)?;
            stamp_pictures(&video.bin, options)?;
            if let Some(audio) = audio {
                attach(&pipeline, TEST_AUDIO, None, audio.start)?;
            }
        }
        Source::Slate(picture) => {
            let (name, text) = ("slate", "");
            let slate = Description { name, text };
            let bin = parse(name, picture)?;
            attach_bin(&pipeline, &bin, slate, video.start)?;
            if let Some(audio) = audio {
                attach(&pipeline, SLATE_AUDIO, None, audio.start)?;
            }
        }
        Source::Device(path) => {
            attach(&pipeline, DEVICE_VIDEO, Some(("device", path)), video.start)?;
            if let Some(audio) = audio {
                attach(&pipeline, AUTO_AUDIO, None, audio.start)?;
            }
        }
        Source::AutoDevice => {
            attach(&pipeline, AUTO_VIDEO, None, video.start)?;
            if let Some(audio) = audio {
                attach(&pipeline, AUTO_AUDIO, None, audio.start)?;
            }
        }
        Source::File(path) => {
            let bin = load(FILE)?;
            named(&bin, FILE, "source")?.set_property("location", path);
            add(&pipeline, &bin)?;
            let starts = [
                (MediaKind::Video, Some(video.start)),
                (MediaKind::Audio, audio.map(|line| line.start)),
            ];
            link_tracks(&named(&bin, FILE, "out")?, starts, progress);
        }
    }
    Ok(Parts {
        pipeline,
        webrtc,
        encoded,
    })
}

/// The way of one medium from raw to RTP.
struct Line {
    bin: gst::Bin,
    start: gst::Pad,
    end: gst::Pad,
}

fn video_line(
    pipeline: &gst::Pipeline,
    encoder: &'static Encoder,
    options: &Options,
    paced: bool,
    encoded: &Encoded,
) -> Result<Line, Error> {
    let bin = load(VIDEO)?;
    let size_and_rate = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", options.width as i32)
        .field("height", options.height as i32)
        .field("framerate", gst::Fraction::new(options.fps as i32, 1))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build();
    named(&bin, VIDEO, "caps")?.set_property("caps", size_and_rate);
    named(&bin, VIDEO, "pace")?.set_property("sync", paced);
    add(pipeline, &bin)?;

    let description = encoder.description;
    let encode = load(description)?;
    let element = named(&encode, description, "encoder")?;
    encoder.configure(&element, options);
    encoded.watch(&pad(&element, "src", description)?);
    if let Some(units) = encode.by_name("units").and_downcast::<AppSink>() {
        let out = named(&encode, description, "out")?;
        if let Some(out) = out.downcast_ref::<AppSrc>() {
            av1::connect(&pad(&element, "src", description)?, &units, out);
        }
    }
    add(pipeline, &encode)?;
    let raw = expose(&bin, VIDEO, "out", "src")?;
    let encoder_in = expose(&encode, description, "encoder", "sink")?;
    link(&raw, &encoder_in, description)?;
    Ok(Line {
        start: expose(&bin, VIDEO, "in", "sink")?,
        end: expose(&encode, description, "out", "src")?,
        bin,
    })
}

fn audio_line(pipeline: &gst::Pipeline, paced: bool) -> Result<Line, Error> {
    for element in ["opusenc", "rtpopuspay"] {
        if gst::ElementFactory::find(element).is_none() {
            return Err(Error::NoElement { element });
        }
    }
    let bin = load(AUDIO)?;
    named(&bin, AUDIO, "pace")?.set_property("sync", paced);
    add(pipeline, &bin)?;
    Ok(Line {
        start: expose(&bin, AUDIO, "in", "sink")?,
        end: expose(&bin, AUDIO, "out", "src")?,
        bin,
    })
}

/// Puts a source of one track before a line. Its last element may make its pad only when it runs.
fn attach(
    pipeline: &gst::Pipeline,
    source: Description,
    setting: Option<(&str, &Path)>,
    line: gst::Pad,
) -> Result<(), Error> {
    let bin = load(source)?;
    if let Some((property, value)) = setting {
        named(&bin, source, "source")?.set_property(property, value.to_string_lossy().as_ref());
    }
    attach_bin(pipeline, &bin, source, line)
}

fn attach_bin(
    pipeline: &gst::Pipeline,
    bin: &gst::Bin,
    source: Description,
    line: gst::Pad,
) -> Result<(), Error> {
    add(pipeline, bin)?;
    let out = named(bin, source, "out")?;
    if out.static_pad("src").is_some() {
        return link(&expose(bin, source, "out", "src")?, &line, source);
    }
    out.connect_pad_added(move |_, pad| {
        if !line.is_linked() {
            // A failed link shows itself as an error of the source.
            let _ = link_from_inside(pad, &line);
        }
    });
    Ok(())
}

/// Links the tracks of a file as they are found: the first of each kind.
fn link_tracks(
    decoder: &gst::Element,
    starts: [(MediaKind, Option<gst::Pad>); 2],
    progress: &watch::Sender<Progress>,
) {
    let starts = Arc::new(starts);
    let tracks = Arc::clone(&starts);
    decoder.connect_pad_added(move |_, pad| {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let name = caps.structure(0).map_or("", |structure| structure.name());
        let start = tracks.iter().find_map(|(kind, start)| {
            let start = start.as_ref()?;
            (name == format!("{kind}/x-raw") && !start.is_linked()).then_some(start)
        });
        if let Some(start) = start {
            // A failed link shows itself as an error of the source.
            let _ = link_from_inside(pad, start);
        }
    });
    let sender = progress.clone();
    decoder.connect_no_more_pads(move |_| {
        for (kind, start) in starts.iter() {
            if start.as_ref().is_some_and(|start| !start.is_linked()) {
                sender.send_modify(|p| p.fail(Error::NoTrack(*kind)));
            }
        }
    });
}

/// Draws time and number on each picture of a line.
fn stamp_pictures(line: &gst::Bin, options: &Options) -> Result<(), Error> {
    let (width, height) = (options.width as usize, options.height as usize);
    let number = AtomicU64::new(0);
    let caps = named(line, VIDEO, "caps")?;
    pad(&caps, "src", VIDEO)?.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(mut picture) = info
            .buffer_mut()
            .and_then(|b| b.make_mut().map_writable().ok())
        {
            let number = number.fetch_add(1, Ordering::Relaxed);
            stamp::draw(&mut picture, width, height, SystemTime::now(), number);
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// Reports failures and nothing else; no message is kept.
fn watch_bus(pipeline: &gst::Pipeline, progress: &watch::Sender<Progress>) {
    let Some(bus) = pipeline.bus() else {
        return;
    };
    let sender = progress.clone();
    let weak = pipeline.downgrade();
    bus.set_sync_handler(move |_, message| {
        match message.view() {
            gst::MessageView::Error(error) => {
                let element = error.src().map_or_else(
                    || "the pipeline".to_owned(),
                    |source| source.name().to_string(),
                );
                let reason = error.error().message().to_owned();
                tracing::debug!(%element, %reason, debug = ?error.debug(), "an element failed");
                sender.send_modify(|p| p.fail(Error::Element { element, reason }));
            }
            gst::MessageView::Warning(warning) => {
                tracing::warn!(reason = %warning.error().message(), "an element warns");
            }
            gst::MessageView::Latency(_) => {
                if let Some(pipeline) = weak.upgrade() {
                    pipeline.call_async(|pipeline| {
                        // It fails while the pipeline stops, when nobody needs it.
                        let _ = pipeline.recalculate_latency();
                    });
                }
            }
            _ => {}
        }
        gst::BusSyncReply::Drop
    });
}

fn add(pipeline: &gst::Pipeline, element: &impl IsA<gst::Element>) -> Result<(), Error> {
    pipeline.add(element).map_err(|error| Error::Pipeline {
        name: "publish",
        reason: error.to_string(),
    })
}

/// Links a pad that appeared inside a source's bin to a line outside.
fn link_from_inside(pad: &gst::Pad, line: &gst::Pad) -> Option<()> {
    let bin = pad
        .parent_element()?
        .parent()?
        .downcast::<gst::Bin>()
        .ok()?;
    let ghost = gst::GhostPad::with_target(pad).ok()?;
    ghost.set_active(true).ok()?;
    bin.add_pad(&ghost).ok()?;
    ghost.link(line).map(drop).ok()
}
