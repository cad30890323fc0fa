//! What is bounded.

use std::time::Duration;

/// The limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions at once, publishers and subscribers together.
    pub sessions: usize,
    /// Viewers at once on one stream.
    pub sessions_per_stream: usize,
    /// Sessions at once of one client address: of IPv6, of one /64. Loopback is not limited.
    pub sessions_per_address: usize,
    /// Streams at once.
    pub streams: usize,
    /// Publishers of different priorities on one stream.
    pub publishers_per_stream: usize,
    /// Slates at once.
    pub slates: usize,
    /// Sessions at once that have not finished DTLS.
    pub half_open_sessions: usize,
    /// TCP connections at once that have not begun to speak HTTP or ICE; the oldest gives way.
    pub opening_connections: usize,
    /// The same of one address.
    pub opening_connections_per_address: usize,
    /// How long a TCP connection may take to begin, TLS included.
    pub opening_timeout: Duration,
    /// HTTP connections at once.
    pub connections: usize,
    /// HTTP connections at once of one address: of IPv6, of one /64. Loopback is not limited.
    pub connections_per_address: usize,
    /// Such sessions at once of one client address.
    pub half_open_sessions_per_address: usize,
    /// The longest SDP, in bytes.
    pub sdp_bytes: usize,
    /// The longest body of any request, in bytes.
    pub body_bytes: usize,
    /// Requests of one address that change something, a second in the long run; 0 for any number.
    /// Loopback is not limited.
    pub address_requests_per_second: usize,
    /// Such requests at once.
    pub address_request_burst: usize,
    /// Requests with one token, from all addresses together, a second; 0 for any number.
    pub token_requests_per_second: usize,
    /// Such requests at once.
    pub token_request_burst: usize,
    /// How long a session may take until DTLS is finished.
    pub connect_timeout: Duration,
    /// How long a session lives without a sign of its peer (RFC 7675).
    pub consent_timeout: Duration,
    /// ICE-TCP connections at once by which no authentic check has come. The oldest makes room for
    /// a new one.
    pub tcp_half_open_connections: usize,
    /// How long an ICE-TCP connection may be so.
    pub tcp_check_timeout: Duration,
    /// What may wait for a peer that reads slowly over ICE-TCP, in bytes; more is dropped.
    pub tcp_queue_bytes: usize,
    /// How long a player may take to answer an offer of ours.
    pub answer_timeout: Duration,
    /// Packets that a viewer may have repeated at once; in the long run half of what it gets.
    pub viewer_retransmissions: usize,
    /// How often a viewer may make us ask the publisher for a keyframe in the long run; three times at once.
    pub viewer_keyframe_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 10_000,
            sessions_per_stream: 10_000,
            sessions_per_address: 2_000,
            streams: 1_000,
            publishers_per_stream: 4,
            slates: 4,
            half_open_sessions: 1_000,
            opening_connections: 1_024,
            opening_connections_per_address: 256,
            opening_timeout: Duration::from_secs(10),
            connections: 8_192,
            connections_per_address: 1_024,
            half_open_sessions_per_address: 250,
            sdp_bytes: 64 * 1024,
            body_bytes: 128 * 1024,
            address_requests_per_second: 50,
            address_request_burst: 250,
            token_requests_per_second: 0,
            token_request_burst: 1_000,
            connect_timeout: Duration::from_secs(15),
            consent_timeout: Duration::from_secs(15),
            tcp_half_open_connections: 1_000,
            tcp_check_timeout: Duration::from_secs(5),
            tcp_queue_bytes: 256 * 1024,
            answer_timeout: Duration::from_secs(30),
            viewer_retransmissions: 2_048,
            viewer_keyframe_interval: Duration::from_secs(3),
        }
    }
}
