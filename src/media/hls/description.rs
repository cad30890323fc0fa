//! Which pipeline a track needs: the files of `pipelines/hls-*.launch`, put together.
//!
//! A file is a whole pipeline, or the head of one that ends in raw sound or pictures; then an encoder is its
//! tail. The head has an appsrc `src`, the tail an appsink `sink`: that is their contract.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

use crate::media::MediaError;
use crate::rtp::Codec;

/// A pipeline description and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) name: &'static str,
    text: &'static str,
    encoder: Option<&'static Encoder>,
}

/// The tail of a pipeline.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Encoder {
    name: &'static str,
    text: &'static str,
    /// What it needs beyond GStreamer's base elements.
    element: &'static str,
    /// How much later than its frames' time their sound is heard, in nanoseconds: a frame is coded with what
    /// came before it, and the first ones of a stream have nothing there.
    pub(super) delay: i64,
}

macro_rules! file {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../../../pipelines/", $name, ".launch")),
        )
    };
}

impl Description {
    /// What makes samples of the RTP packets of a codec; none for those that need no GStreamer.
    ///
    /// # Errors
    ///
    /// [`MediaError::NoEncoder`] where the codec has to become another one.
    pub(super) fn of(codec: Codec) -> Result<Option<Self>, MediaError> {
        let (file, encoders) = match codec {
            Codec::H264 => (file!("hls-h264"), None),
            Codec::H265 => (file!("hls-h265"), None),
            Codec::Vp8 => (file!("hls-vp8"), Some(&H264)),
            Codec::Pcmu => (file!("hls-pcmu"), Some(&AAC)),
            Codec::Pcma => (file!("hls-pcma"), Some(&AAC)),
            Codec::G722 => (file!("hls-g722"), Some(&AAC)),
            Codec::Av1 | Codec::Vp9 | Codec::Opus => return Ok(None),
        };
        Self::new(file, encoders).map(Some)
    }

    /// What makes AAC of Opus packets.
    ///
    /// # Errors
    ///
    /// [`MediaError::NoEncoder`].
    pub(super) fn aac() -> Result<Self, MediaError> {
        Self::new(file!("hls-opus"), Some(&AAC))
    }

    fn new(
        (name, text): (&'static str, &'static str),
        encoders: Option<&'static [Encoder; 2]>,
    ) -> Result<Self, MediaError> {
        let encoder = encoders
            .map(|encoders| usable(name, encoders))
            .transpose()?;
        Ok(Self {
            name,
            text,
            encoder,
        })
    }

    /// How much later than their time the frames are heard (ns).
    pub(super) fn delay(&self) -> i64 {
        self.encoder.map_or(0, |encoder| encoder.delay)
    }

    /// Whether the pipeline makes keyframes of its own, where it is told to.
    pub(super) fn encodes(&self) -> bool {
        self.encoder.is_some()
    }

    /// Parses it and finds the named elements.
    pub(super) fn build(&self) -> Result<(gst::Pipeline, AppSrc, AppSink), MediaError> {
        let name = self.name;
        let failed = |reason: String| MediaError::Pipeline { name, reason };
        let mut text = without_comments(self.text);
        if let Some(encoder) = self.encoder {
            text = format!("{text} ! {}", without_comments(encoder.text));
        }
        let flags = gst::ParseFlags::FATAL_ERRORS;
        let pipeline = gst::parse::launch_full(&text, None, flags)
            .map_err(|error| failed(error.message().to_owned()))?;
        let pipeline = pipeline
            .downcast::<gst::Pipeline>()
            .map_err(|_| failed("it is no pipeline".into()))?;
        let named = |element: &str| {
            pipeline
                .by_name(element)
                .ok_or_else(|| failed(format!("it has no `{element}`")))
        };
        let src = named("src")?
            .downcast()
            .map_err(|_| failed("`src` is no appsrc".into()))?;
        let sink = named("sink")?
            .downcast()
            .map_err(|_| failed("`sink` is no appsink".into()))?;
        Ok((pipeline, src, sink))
    }
}

pub(super) fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.collect::<Vec<_>>().join(" ")
}

/// The first of the encoders that this GStreamer has.
fn usable(
    pipeline: &'static str,
    encoders: &'static [Encoder; 2],
) -> Result<&'static Encoder, MediaError> {
    crate::media::init()?;
    let mut encoders_there = encoders
        .iter()
        .filter(|encoder| gst::ElementFactory::find(encoder.element).is_some());
    encoders_there.next().ok_or(MediaError::NoEncoder {
        name: pipeline,
        elements: [encoders[0].element, encoders[1].element],
    })
}

const fn encoder(
    (name, text): (&'static str, &'static str),
    element: &'static str,
    delay: i64,
) -> Encoder {
    Encoder {
        name,
        text,
        element,
        delay,
    }
}

/// In order of preference: the first one takes less CPU and sounds better. The delays are measured (see the
/// tests): they stand in no property.
static AAC: [Encoder; 2] = [
    encoder(
        file!("hls-encode-aac-libav"),
        "avenc_aac",
        samples_of_48_khz(1024),
    ),
    encoder(
        file!("hls-encode-aac-voaacenc"),
        "voaacenc",
        samples_of_48_khz(1600),
    ),
];

/// In order of preference.
static H264: [Encoder; 2] = [
    encoder(file!("hls-encode-h264-x264"), "x264enc", 0),
    encoder(file!("hls-encode-h264-openh264"), "openh264enc", 0),
];

const fn samples_of_48_khz(samples: i64) -> i64 {
    samples * 1_000_000_000 / 48_000
}

#[cfg(test)]
impl Description {
    /// All that there can be.
    pub(super) fn all() -> Vec<Self> {
        let mut all: Vec<_> = Codec::ALL
            .into_iter()
            .filter_map(|codec| Self::of(codec).unwrap())
            .collect();
        all.push(Self::aac().unwrap());
        let mut every = Vec::new();
        for description in all {
            let encoders = match description.encoder {
                None => &[][..],
                Some(one) if AAC.contains(one) => &AAC,
                Some(_) => &H264,
            };
            every.extend(encoders.iter().map(|encoder| Self {
                encoder: Some(encoder),
                ..description
            }));
            every.extend(Some(description).filter(|description| !description.encodes()));
        }
        every
    }

    /// The same with each of the AAC encoders.
    pub(super) fn with_each_aac_encoder(self) -> impl Iterator<Item = (&'static str, Self)> {
        AAC.iter().map(move |encoder| {
            let encoder = Some(encoder);
            (
                encoder.map_or("", |encoder| encoder.element),
                Self { encoder, ..self },
            )
        })
    }

    /// A pipeline of a test.
    pub(super) fn of_test(text: &'static str) -> Self {
        Self {
            name: "test",
            text,
            encoder: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pipeline_file_keeps_its_contract() {
        crate::media::init().unwrap();
        let described = Description::all();
        let heads = described.iter().map(|description| description.name);
        let tails = described
            .iter()
            .filter_map(|description| Some(description.encoder?.name));
        let names: Vec<_> = heads.chain(tails).collect();
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines");
        for file in std::fs::read_dir(directory).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            if name.starts_with("hls-") {
                let known = names.iter().any(|known| name == format!("{known}.launch"));
                assert!(known, "{name} is used by nobody");
            }
        }
        for description in described {
            let (pipeline, ..) = description.build().unwrap();
            pipeline.set_state(gst::State::Null).unwrap();
        }
    }

    #[test]
    fn a_missing_element_is_named() {
        crate::media::init().unwrap();
        let broken =
            Description::of_test("# none\nappsrc name=src ! nosuchelement ! appsink name=sink");
        let error = broken.build().unwrap_err().to_string();
        assert!(
            error.contains("nosuchelement") && error.contains("test"),
            "{error}"
        );
    }
}
