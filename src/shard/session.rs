//! A session as its shard holds it: the transport, and what stands behind it.

use std::time::Instant;

use super::standing::Standing;
use super::{SessionKey, StreamKey};
use crate::egress::whep::Subscriber;
use crate::ingest::{Flow, Publisher};
use crate::transport::srtp::Outbound;
use crate::transport::{Path, Transport};

/// One WHIP or WHEP session.
pub(super) struct Session {
    pub(super) key: SessionKey,
    /// The broadcast that it publishes or takes.
    pub(super) stream: StreamKey,
    pub(super) transport: Transport,
    pub(super) media: Media,
    /// Whether the media of a publisher comes, if that is watched.
    pub(super) flow: Option<Flow>,
    /// Our user name fragments: the current one, and after an ICE restart the one before.
    pub(super) ufrags: Vec<Box<str>>,
    /// The paths to the peer that ICE validated, newest last.
    pub(super) paths: Vec<Path>,
    /// The SSRCs of a publisher's media that was authentic, the first of them.
    pub(super) ssrcs: Vec<u32>,
    /// The deadline that leads to this session in the timers.
    pub(super) scheduled: Option<Instant>,
    /// It stands in the list of those who are not up to date.
    pub(super) is_behind: bool,
    /// As it is counted.
    pub(super) standing: Standing,
}

/// What a session does with media.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are of the large kind, which is looked at for every packet"
)]
pub(super) enum Media {
    /// It sends us some. Boxed: there is one for hundreds of the others.
    Publisher(Box<Publisher>),
    /// It gets some from us.
    Subscriber(Subscriber),
}

impl Session {
    /// The keys for sending, and where to; none while it is not connected.
    pub(super) fn outbound(transport: &mut Transport) -> Option<(&mut Outbound, Path)> {
        let to = transport.path()?;
        Some((transport.outbound()?, to))
    }

    /// Whether [`Self::outbound`] has something to give.
    fn has_way(&self) -> bool {
        self.transport.is_connected() && self.transport.path().is_some()
    }

    /// When the session wants to be woken.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let media = match &self.media {
            Media::Publisher(publisher) => publisher.poll_timeout(),
            Media::Subscriber(subscriber) if self.has_way() => subscriber.poll_timeout(),
            // It can't adapt to a way that is not there, and would be woken for that again and again.
            Media::Subscriber(subscriber) => subscriber.report_at(),
        };
        let flow = self.flow.as_ref().and_then(Flow::poll_timeout);
        [self.transport.poll_timeout(), media, flow]
            .into_iter()
            .flatten()
            .min()
    }
}

#[cfg(test)]
mod tests {
    use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
    use rtc::shared::marshal::Marshal as _;

    use super::*;
    use crate::sdp::DtlsRole;
    use crate::simulation::{VIDEO, agreed};
    use crate::stream::{LayerId, LayerStatus, RankedLayer};
    use crate::transport::ConnectionId;
    use crate::transport::srtp::Profile;
    use crate::transport::testing::{Pair, client_path};

    const SSRC: u32 = 1111;

    struct Nowhere;

    impl crate::egress::whep::Outlet for Nowhere {
        fn send(&mut self, _: usize, _: usize, _: u64, _: impl FnOnce(&mut [u8])) {}
    }

    /// A viewer who may try whether its link carries a better layer, since its player told of the worse.
    fn adapting(now: Instant) -> Subscriber {
        let spec = agreed::subscriber([SSRC, 2222, 3333], true, false, false);
        let mut subscriber = Subscriber::new(&spec, "demo", || 0);
        let layer = |id, bitrate| RankedLayer {
            id: LayerId(id),
            is_active: true,
            needs_descriptor: false,
            status: LayerStatus {
                bitrate,
                ..LayerStatus::default()
            },
        };
        let layers = [layer(0, 2_000_000), layer(1, 400_000)];
        subscriber.set_layers(VIDEO, &layers);
        let told = ReceiverEstimatedMaximumBitrate {
            sender_ssrc: 1,
            bitrate: 500_000.0,
            ssrcs: vec![SSRC],
        };
        let told = told.marshal().unwrap();
        let _ = subscriber.handle_rtcp(now, &told, |_, _| None, &mut Nowhere);
        let of = |track| (track == VIDEO).then_some(&layers[..]);
        subscriber.adapt(now, of, |_, _| None, &mut Nowhere);
        subscriber
    }

    #[test]
    fn one_between_two_connections_is_not_woken_to_adapt() {
        let mut pair = Pair::new(DtlsRole::Server, &[Profile::AeadAes128Gcm]);
        let connection = ConnectionId {
            index: 0,
            generation: 1,
        };
        pair.path = Path::tcp(client_path(1000).remote, connection);
        pair.connect();
        let subscriber = adapting(pair.now);
        let adapts_at = subscriber.poll_timeout();
        let mut session = Session {
            key: SessionKey(0),
            stream: StreamKey(0),
            transport: pair.transport,
            media: Media::Subscriber(subscriber),
            flow: None,
            ufrags: Vec::new(),
            paths: vec![pair.path],
            ssrcs: Vec::new(),
            scheduled: None,
            is_behind: false,
            standing: Standing::default(),
        };
        assert!(adapts_at.is_some());
        assert_eq!(session.poll_timeout(), adapts_at);
        session.transport.forget_path(pair.now, pair.path);
        assert_eq!(session.poll_timeout(), session.transport.poll_timeout());
    }
}
