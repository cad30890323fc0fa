//! One WebRTC transport of one session: ICE-lite, DTLS and SRTP.

pub mod srtp;
