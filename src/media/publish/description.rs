//! The files of `pipelines/` that make a publisher, and how their named elements are reached.
//!
//! Each file says in its head which elements are used by name: that is its contract. The files are
//! part of the program, so a fault in one is a fault of the program.

use gstreamer as gst;
use gstreamer::prelude::*;

use super::Error;

macro_rules! description {
    ($name:literal) => {
        Description {
            name: $name,
            text: include_str!(concat!("../../../pipelines/", $name, ".launch")),
        }
    };
}

/// A file of `pipelines/`.
#[derive(Clone, Copy)]
pub(super) struct Description {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

pub(super) const TEST_VIDEO: Description = description!("publish-test-video");
pub(super) const TEST_AUDIO: Description = description!("publish-test-audio");
pub(super) const DEVICE_VIDEO: Description = description!("publish-device-video");
pub(super) const AUTO_VIDEO: Description = description!("publish-auto-video");
pub(super) const AUTO_AUDIO: Description = description!("publish-auto-audio");
pub(super) const FILE: Description = description!("publish-file");
pub(super) const SLATE_AUDIO: Description = description!("slate-audio");
pub(super) const VIDEO: Description = description!("publish-video");
pub(super) const AUDIO: Description = description!("publish-audio");

/// A description as a bin, its comment lines left out.
pub(super) fn load(description: Description) -> Result<gst::Bin, Error> {
    parse(description.name, description.text)
}

/// A text of that form as a bin; `name` is named when that fails.
pub(super) fn parse(name: &'static str, text: &str) -> Result<gst::Bin, Error> {
    let text: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect();
    gst::parse::bin_from_description(&text.join("\n"), false).map_err(|error| Error::Pipeline {
        name,
        reason: error.message().to_owned(),
    })
}

/// An element that the description promises by name.
pub(super) fn named(
    bin: &gst::Bin,
    description: Description,
    name: &str,
) -> Result<gst::Element, Error> {
    bin.by_name(name).ok_or_else(|| Error::Pipeline {
        name: description.name,
        reason: format!("it has no element named `{name}`"),
    })
}

/// A pad that an element always has.
pub(super) fn pad(
    element: &gst::Element,
    name: &str,
    description: Description,
) -> Result<gst::Pad, Error> {
    element.static_pad(name).ok_or_else(|| Error::Pipeline {
        name: description.name,
        reason: format!("`{}` has no pad `{name}`", element.name()),
    })
}

/// Makes a pad of a named element a pad of its bin.
pub(super) fn expose(
    bin: &gst::Bin,
    description: Description,
    element: &str,
    pad_name: &str,
) -> Result<gst::Pad, Error> {
    let target = pad(&named(bin, description, element)?, pad_name, description)?;
    let failed = |error: gst::glib::BoolError| Error::Pipeline {
        name: description.name,
        reason: error.to_string(),
    };
    let ghost = gst::GhostPad::builder_with_target(&target)
        .map_err(failed)?
        .name(pad_name)
        .build();
    bin.add_pad(&ghost).map_err(failed)?;
    Ok(ghost.upcast())
}

/// Links two pads; `description` is named when that fails.
pub(super) fn link(from: &gst::Pad, to: &gst::Pad, description: Description) -> Result<(), Error> {
    from.link(to).map(drop).map_err(|error| Error::Pipeline {
        name: description.name,
        reason: error.to_string(),
    })
}
