//! What leaves: subscribers of a stream. They know the stream, the stream does not know them.

pub mod hls;
pub mod whep;
