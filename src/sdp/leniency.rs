//! The rules of offers that clients may bend: those whose bending could matter to an operator.
//!
//! `docs/compatibility.md` has the whole list of what clients do, and what is simply taken.

/// Each is on only where a client that people use needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leniency {
    /// Whether a viewer may get H264 of another profile than it offered. What encoders say of their
    /// profile is often not what they send (OBS), while decoders take more than they say
    /// (GStreamer, Safari).
    pub any_h264_profile: bool,
    /// Whether a viewer without `packetization-mode=1` may get fragmented H264. The `whepclientsrc`
    /// of GStreamer leaves it out and takes it.
    pub any_h264_packetization: bool,
    /// Whether an offer may say `a=setup:passive`, against RFC 8842, section 5.2, as that of FFmpeg.
    pub passive_setup: bool,
}

impl Default for Leniency {
    fn default() -> Self {
        Self {
            any_h264_profile: true,
            any_h264_packetization: true,
            passive_setup: true,
        }
    }
}
