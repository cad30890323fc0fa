//! What a ladder is made of: the files of `pipelines/ladder-*.launch`, put together, and which of them this
//! machine can run.
//!
//! A decoder, what gives its pictures to all rungs, and for each rung its scaler and encoder. What differs
//! from rung to rung stands in braces in the files.

use std::sync::OnceLock;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

use super::rung::Target;
use crate::egress::hls::RenditionId;
use crate::media::MediaError;
use crate::media::hls::description::without_comments;
use crate::rtp::Codec;

/// One file, and the element that it needs beyond GStreamer's base.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: &'static str,
    text: &'static str,
    element: &'static str,
}

/// The files of one ladder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    decoder: &'static Part,
    pub(super) encoder: &'static Part,
}

/// A ladder that is built and does not run yet, with a sink for each rung.
pub(super) type Built = (gst::Pipeline, AppSrc, Vec<AppSink>);

impl Parts {
    /// The best parts for pictures of this codec. Encoders in `hardware` come first, if one works.
    ///
    /// # Errors
    ///
    /// [`MediaError::NoDecoder`], [`MediaError::NoEncoder`].
    pub(super) fn of(codec: Codec, hardware: bool) -> Result<Self, MediaError> {
        crate::media::init()?;
        let decoders = decoders(codec);
        let is_there = |part: &&'static Part| gst::ElementFactory::find(part.element).is_some();
        let decoder = decoders.iter().find(is_there);
        let decoder = decoder.ok_or_else(|| MediaError::NoDecoder {
            codec: codec.name(),
            elements: decoders.iter().map(|part| part.element).collect(),
        })?;
        let encoder = working_hardware().filter(|_| hardware);
        let encoder = encoder.or_else(|| SOFTWARE.iter().find(is_there));
        let encoder = encoder.ok_or(MediaError::NoEncoder {
            name: "ladder",
            elements: [SOFTWARE[0].element, SOFTWARE[1].element],
        })?;
        Ok(Self { decoder, encoder })
    }

    /// Builds it for rungs of these sizes; `caps` are those of the pictures that go in.
    ///
    /// # Errors
    ///
    /// [`MediaError::Pipeline`].
    pub(super) fn build(&self, caps: &gst::Caps, targets: &[Target]) -> Result<Built, MediaError> {
        let name = self.encoder.name;
        let failed = |reason: String| MediaError::Pipeline { name, reason };
        let lacks = |what: &str| failed(format!("it has no `{what}`"));
        let head = [self.decoder.text, RUNGS.text].map(without_comments);
        let pipeline = gst::parse::launch_full(&head.join(" ! "), None, FLAGS)
            .map_err(|error| failed(error.message().to_owned()))?
            .downcast::<gst::Pipeline>()
            .map_err(|_| failed("it is no pipeline".into()))?;
        let src = pipeline.by_name("src").and_then(|src| src.downcast().ok());
        let src: AppSrc = src.ok_or_else(|| lacks("src"))?;
        src.set_caps(Some(caps));
        let tee = pipeline.by_name("rungs").ok_or_else(|| lacks("rungs"))?;
        let mut sinks = Vec::new();
        for target in targets {
            let bin = self.encoder.bin(*target)?;
            let sink = bin.by_name("sink").and_then(|sink| sink.downcast().ok());
            sinks.push(sink.ok_or_else(|| lacks("sink"))?);
            let linked = pipeline.add(&bin).is_ok() && tee.link(&bin).is_ok();
            if !linked {
                return Err(failed("a rung can't be linked".into()));
            }
        }
        Ok((pipeline, src, sinks))
    }
}

impl Part {
    /// A rung that ends in this encoder.
    fn bin(&self, target: Target) -> Result<gst::Bin, MediaError> {
        let (width, height) = target.size;
        let failed = |reason: String| MediaError::Pipeline {
            name: self.name,
            reason,
        };
        let text = [SCALE.text, self.text].map(without_comments).join(" ! ");
        let text = text
            .replace("{width}", &width.to_string())
            .replace("{height}", &height.to_string())
            .replace("{kbit}", &target.bitrate.div_ceil(1000).to_string())
            .replace("{bit}", &target.bitrate.to_string());
        gst::parse::bin_from_description_full(&text, true, None, FLAGS)
            .map_err(|error| failed(error.message().to_owned()))?
            .downcast()
            .map_err(|_| failed("it is no bin".into()))
    }

    /// Whether this machine has it and its device can be opened.
    fn works(&self) -> bool {
        if gst::ElementFactory::find(self.element).is_none() {
            return false;
        }
        // Properties differ from version to version, and drivers are there or not.
        let works = self.bin(TRIAL).and_then(|bin| {
            let opened = bin.set_state(gst::State::Ready);
            // It was a try: there is nothing to lose when it can't be closed.
            let _ = bin.set_state(gst::State::Null);
            opened.map_err(|_| MediaError::Failed {
                name: self.name,
                reason: "its device can't be opened".into(),
            })
        });
        if let Err(error) = &works {
            tracing::info!(%error, element = self.element, "no encoder in hardware");
        }
        works.is_ok()
    }
}

#[cfg(test)]
impl Parts {
    /// With each encoder that works on this machine.
    pub(super) fn each(codec: Codec) -> Vec<Self> {
        let Self { decoder, .. } = Self::of(codec, false).unwrap();
        let encoders = HARDWARE.iter().chain(&SOFTWARE);
        let working = encoders.filter(|part| part.works());
        working.map(|encoder| Self { decoder, encoder }).collect()
    }
}

/// The first encoder in hardware that works. Tried once, as opening a device can take a while.
fn working_hardware() -> Option<&'static Part> {
    static FOUND: OnceLock<Option<&'static Part>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let found = HARDWARE.iter().find(|part| part.works());
        if let Some(part) = found {
            tracing::info!(element = part.element, "ladders are encoded in hardware");
        }
        found
    })
}

/// Any encoder can make this.
const TRIAL: Target = Target {
    rendition: RenditionId::Video(1),
    size: (640, 360),
    bitrate: 600_000,
};

const FLAGS: gst::ParseFlags = gst::ParseFlags::FATAL_ERRORS;

macro_rules! part {
    ($name:literal, $element:literal) => {
        Part {
            name: $name,
            text: include_str!(concat!("../../../../pipelines/", $name, ".launch")),
            element: $element,
        }
    };
}

static RUNGS: Part = part!("ladder-rungs", "tee");
static SCALE: Part = part!("ladder-scale", "videoscale");

/// In order of preference: those of desktops and servers before that of systems on a chip.
static HARDWARE: [Part; 4] = [
    part!("ladder-encode-va", "vah264enc"),
    part!("ladder-encode-nvenc", "nvh264enc"),
    part!("ladder-encode-qsv", "qsvh264enc"),
    part!("ladder-encode-v4l2", "v4l2h264enc"),
];

/// In order of preference.
static SOFTWARE: [Part; 2] = [
    part!("ladder-encode-x264", "x264enc"),
    part!("ladder-encode-openh264", "openh264enc"),
];

/// In order of preference. Those of VP8 come after its transcoding for HLS, as H264.
fn decoders(codec: Codec) -> &'static [Part] {
    static H264: [Part; 2] = [
        part!("ladder-decode-h264-libav", "avdec_h264"),
        part!("ladder-decode-h264-openh264", "openh264dec"),
    ];
    static H265: [Part; 1] = [part!("ladder-decode-h265", "avdec_h265")];
    static VP9: [Part; 1] = [part!("ladder-decode-vp9", "vp9dec")];
    static AV1: [Part; 2] = [
        part!("ladder-decode-av1-dav1d", "dav1ddec"),
        part!("ladder-decode-av1-libaom", "av1dec"),
    ];
    match codec {
        Codec::H264 | Codec::Vp8 => &H264,
        Codec::H265 => &H265,
        Codec::Vp9 => &VP9,
        Codec::Av1 => &AV1,
        Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::G722 => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All files that there are; those of hardware and of decoders that this machine lacks are not built.
    #[test]
    fn every_file_is_used_and_those_that_run_here_are_built() {
        crate::media::init().unwrap();
        let codecs = [Codec::H264, Codec::H265, Codec::Vp9, Codec::Av1];
        let decoders: Vec<_> = codecs.into_iter().flat_map(decoders).collect();
        let encoders: Vec<_> = HARDWARE.iter().chain(&SOFTWARE).collect();
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines");
        for file in std::fs::read_dir(directory).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let mut parts = decoders.iter().chain(&encoders).copied();
            let known = [&RUNGS, &SCALE].into_iter().chain(&mut parts);
            if name.starts_with("ladder-") {
                let mut files = known.map(|part| format!("{}.launch", part.name));
                assert!(files.any(|file| file == name), "{name} is used by nobody");
            }
        }
        let is_there = |part: &&&'static Part| gst::ElementFactory::find(part.element).is_some();
        let caps = gst::Caps::new_any();
        let mut built = 0;
        for decoder in decoders.iter().filter(is_there) {
            for encoder in encoders.iter().filter(is_there) {
                let parts = Parts { decoder, encoder };
                let (_, _, sinks) = parts.build(&caps, &[TRIAL; 2]).unwrap();
                assert_eq!(sinks.len(), 2);
                built += 1;
            }
        }
        assert!(built > 0);
    }

    #[test]
    fn what_this_gstreamer_lacks_is_named() {
        crate::media::init().unwrap();
        let lacking = Part {
            name: "test",
            text: "nosuchelement name=sink",
            element: "videoscale",
        };
        assert!(!lacking.works());
        let error = Parts::of(Codec::Opus, true).unwrap_err().to_string();
        assert!(error.contains("opus"), "{error}");
    }
}
