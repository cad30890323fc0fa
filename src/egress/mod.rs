//! What leaves: subscribers of a stream. They know the stream, the stream does not know them.

pub mod dash;
pub mod hls;
mod sender_clock;
pub mod splice;
mod stream_clocks;
pub mod whep;

pub use sender_clock::SenderClock;
pub(crate) use sender_clock::ntp_duration;
pub use stream_clocks::StreamClocks;
