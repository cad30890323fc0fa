//! What the rest of the process tells a shard, done.

use std::time::Instant;

use super::inbox::Message;
use super::sessions::Route;
use super::state::State;
use crate::transport::Path;

/// Messages taken early because of one datagram whose path nobody here knows.
const MESSAGES_PER_STRAY: usize = 64;

impl State {
    /// Does what the messages say, so many of them at most.
    pub(super) fn take_messages(&mut self, now: Instant, limit: usize) {
        for _ in 0..limit {
            let Some(message) = self.me().next_message() else {
                return;
            };
            self.handle_message(now, message);
        }
    }

    /// The route of a path that is not known: the shard that knows it may have said so already.
    ///
    /// It says so before it answers the peer's check. What the peer sends next can therefore be no
    /// faster than the message, only be read before it, and must not be lost: a ClientHello is
    /// repeated after a second.
    pub(super) fn find_route(&mut self, now: Instant, path: Path) -> Option<Route> {
        self.take_messages(now, MESSAGES_PER_STRAY);
        self.sessions.route(path)
    }

    fn handle_message(&mut self, now: Instant, message: Message) {
        match message {
            Message::Open(session) => self.open(now, *session),
            Message::RestartIce { session, local } => self.restart_ice(now, session, &local),
            Message::Rebind(rebinding) => self.rebind(now, *rebinding),
            Message::Close(session) => self.close(now, session),
            Message::AttachHls(stream, feed) => self.attach_hls(stream, feed),
            Message::DetachHls(stream) => self.detach_hls(stream),
            Message::Subscribe(stream, shard, needs) => self.subscribe(now, stream, shard, needs),
            Message::Unsubscribe(stream, shard) => self.unsubscribe(stream, shard),
            Message::Ended(stream) => self.clear_replica(stream),
            Message::RequestKeyframe(stream, track, layer) => {
                self.request_keyframe(now, stream, track, layer);
            }
            Message::RequestHlsKeyframe(stream, track) => {
                self.request_hls_keyframe(now, stream, track);
            }
            Message::Still(stream, track, reply) => self.take_still(now, stream, track, reply),
            Message::Clock(stream, track, layer, clock) => {
                self.handle_clock(stream, track, layer, clock);
            }
            Message::Layers(stream, track, ranked) => {
                self.set_layers(now, stream, track, &ranked);
            }
            Message::SelectLayer(session, choice) => self.select_layer(now, session, &choice),
            Message::Route(path, shard) => self.sessions.add_route(path, shard),
            Message::Unroute(path, shard) => self.sessions.remove_route(path, shard),
            Message::RouteSsrc(ssrc, shard) => self.sessions.add_route_of_ssrc(ssrc, shard),
            Message::UnrouteSsrc(ssrc, shard) => self.sessions.remove_route_of_ssrc(ssrc, shard),
            Message::Shutdown => self.stopping = true,
        }
    }
}
