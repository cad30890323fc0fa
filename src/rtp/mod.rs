//! RTP as it stands on the wire (RFC 3550): pure parsing and arithmetic, no state of a session.

pub(crate) mod av1;
pub(crate) mod bits;
mod capture_time;
pub mod codec;
pub mod dependency_descriptor;
pub mod extension;
pub(crate) mod h264;
pub mod header;
pub mod keyframe;
pub(crate) mod obu;
pub mod opus;
pub(crate) mod picture;
mod picture_size;
pub mod red;
pub mod rtcp;
pub mod sequence;
pub mod transport_feedback;
pub mod vp8;
pub mod vp9;

pub use capture_time::CaptureTime;
pub use codec::{Codec, MediaKind};
pub use extension::{Extension, ExtensionMap, PlayoutDelay};
pub use header::{Header, HeaderError};
pub use picture_size::picture_size;
pub(crate) use picture_size::{ParameterSets, h264_profile, parameter_sets};
pub use vp8::PictureCounters;
