//! The sessions of a shard, by everything that leads to one.

use std::collections::HashMap;

use slab::Slab;

use super::session::Session;
use super::{SessionKey, ShardId};
use crate::transport::Path;

/// The table of sessions. A slot number is valid until its session is removed.
#[derive(Default)]
pub(super) struct Sessions {
    slots: Slab<Session>,
    by_key: HashMap<SessionKey, usize>,
    by_ufrag: HashMap<Box<str>, usize>,
    by_path: HashMap<Path, Route>,
    /// The media of publishers. Only a hint: SSRCs are chosen by peers, and two may choose the same.
    by_ssrc: HashMap<u32, Route>,
}

/// How many SSRCs of one session are known: three layers and their retransmissions, sound, and some more.
const MAX_SSRCS: usize = 16;

/// Where datagrams that come by a path go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// To a session here.
    Here(usize),
    /// To a session of another shard.
    There(ShardId),
}

impl Sessions {
    pub(super) fn insert(&mut self, session: Session) -> usize {
        let entry = self.slots.vacant_entry();
        let slot = entry.key();
        self.by_key.insert(session.key, slot);
        for ufrag in &session.ufrags {
            self.by_ufrag.insert(ufrag.clone(), slot);
        }
        entry.insert(session);
        slot
    }

    /// Takes a session out, with every way that led to it. What it still names of paths and SSRCs is
    /// what led to it until now: only of these other shards may be told that they do no longer.
    pub(super) fn remove(&mut self, slot: usize) -> Option<Session> {
        let mut session = self.slots.try_remove(slot)?;
        self.by_key.remove(&session.key);
        for ufrag in &session.ufrags {
            self.by_ufrag.remove(ufrag);
        }
        let here = Some(&Route::Here(slot));
        session.paths.retain(|path| {
            let led = self.by_path.get(path) == here;
            if led {
                self.by_path.remove(path);
            }
            // A connection is one session's, and ends with it.
            led || path.connection().is_some()
        });
        session.ssrcs.retain(|ssrc| {
            let led = self.by_ssrc.get(ssrc) == here;
            if led {
                self.by_ssrc.remove(ssrc);
            }
            led
        });
        Some(session)
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut Session> {
        self.slots.get_mut(slot)
    }

    pub(super) fn slot_of_key(&self, key: SessionKey) -> Option<usize> {
        self.by_key.get(&key).copied()
    }

    pub(super) fn slot_of_ufrag(&self, ufrag: &str) -> Option<usize> {
        self.by_ufrag.get(ufrag).copied()
    }

    pub(super) fn route(&self, path: Path) -> Option<Route> {
        self.by_path.get(&path).copied()
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = usize> + '_ {
        self.slots.iter().map(|(slot, _)| slot)
    }

    /// A peer proved that it is at the other end of `path`.
    pub(super) fn add_path(&mut self, slot: usize, path: Path) {
        if let Some(session) = self.slots.get_mut(slot) {
            if !session.paths.contains(&path) {
                session.paths.push(path);
            }
            self.by_path.insert(path, Route::Here(slot));
        }
    }

    /// Whether the session's peer proved that it is at the other end of `path`.
    pub(super) fn owns(&self, slot: usize, path: Path) -> bool {
        let session = self.slots.get(slot);
        session.is_some_and(|session| session.paths.contains(&path))
    }

    /// It has used too many others since. Returns whether the path led to it until now.
    pub(super) fn remove_path(&mut self, slot: usize, path: Path) -> bool {
        if let Some(session) = self.slots.get_mut(slot) {
            session.paths.retain(|known| *known != path);
        }
        let led = self.by_path.get(&path) == Some(&Route::Here(slot));
        if led {
            self.by_path.remove(&path);
        }
        led
    }

    /// A peer of another shard proved that it is at the other end of `path`.
    pub(super) fn add_route(&mut self, path: Path, shard: ShardId) {
        self.by_path.insert(path, Route::There(shard));
    }

    /// It is there no longer.
    pub(super) fn remove_route(&mut self, path: Path, shard: ShardId) {
        if self.by_path.get(&path) == Some(&Route::There(shard)) {
            self.by_path.remove(&path);
        }
    }

    /// Where media with this SSRC may belong that came by a path which nobody has proved.
    pub(super) fn route_of_ssrc(&self, ssrc: u32) -> Option<Route> {
        self.by_ssrc.get(&ssrc).copied()
    }

    /// Authentic media of a publisher has this SSRC. Whether that is news.
    pub(super) fn add_ssrc(&mut self, slot: usize, ssrc: u32) -> bool {
        let Some(session) = self.slots.get_mut(slot) else {
            return false;
        };
        if session.ssrcs.contains(&ssrc) || session.ssrcs.len() >= MAX_SSRCS {
            return false;
        }
        session.ssrcs.push(ssrc);
        self.by_ssrc.insert(ssrc, Route::Here(slot));
        true
    }

    /// Media with this SSRC may be for a session of that shard.
    pub(super) fn add_route_of_ssrc(&mut self, ssrc: u32, shard: ShardId) {
        self.by_ssrc.insert(ssrc, Route::There(shard));
    }

    /// It is no longer.
    pub(super) fn remove_route_of_ssrc(&mut self, ssrc: u32, shard: ShardId) {
        if self.by_ssrc.get(&ssrc) == Some(&Route::There(shard)) {
            self.by_ssrc.remove(&ssrc);
        }
    }

    /// Another fragment leads to the session too: after an ICE restart. The two newest are kept.
    pub(super) fn add_ufrag(&mut self, slot: usize, ufrag: &str) {
        let Some(session) = self.slots.get_mut(slot) else {
            return;
        };
        if session.ufrags.len() > 1 {
            let old = session.ufrags.remove(0);
            self.by_ufrag.remove(&old);
        }
        session.ufrags.push(ufrag.into());
        self.by_ufrag.insert(ufrag.into(), slot);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::super::StreamKey;
    use super::super::session::Media;
    use super::super::standing::Standing;
    use super::*;
    use crate::egress::whep::Subscriber;
    use crate::sdp::{DtlsRole, Fingerprint, IceCredentials, SubscriberSpec};
    use crate::transport::{Config, Identity, Timeouts, Transport};

    fn session(key: u64, ufrag: &str) -> Session {
        let identity = Arc::new(Identity::generate().unwrap());
        let local = IceCredentials {
            ufrag: ufrag.to_owned(),
            pwd: "p".repeat(24),
        };
        let config = Config {
            local,
            remote_fingerprint: Fingerprint([0; 32]),
            dtls_role: DtlsRole::Server,
            timeouts: Timeouts::default(),
        };
        Session {
            key: SessionKey(key),
            stream: StreamKey(0),
            transport: Transport::new(Instant::now(), &identity, &config).unwrap(),
            media: Media::Subscriber(Subscriber::new(
                &SubscriberSpec { tracks: Vec::new() },
                "",
                || 0,
            )),
            flow: None,
            ufrags: vec![ufrag.into()],
            paths: Vec::new(),
            ssrcs: Vec::new(),
            scheduled: None,
            is_behind: false,
            standing: Standing::default(),
        }
    }

    fn path(port: u16) -> Path {
        let loopback = [127, 0, 0, 1];
        Path::udp((loopback, port).into(), loopback.into())
    }

    #[test]
    fn nothing_leads_to_a_session_that_was_removed() {
        let mut sessions = Sessions::default();
        let slot = sessions.insert(session(1, "Aone"));
        sessions.add_path(slot, path(1));
        sessions.add_path(slot, path(2));
        assert_eq!(sessions.slot_of_key(SessionKey(1)), Some(slot));
        assert_eq!(sessions.slot_of_ufrag("Aone"), Some(slot));
        assert_eq!(sessions.route(path(2)), Some(Route::Here(slot)));
        assert!(sessions.remove(slot).is_some());
        assert!(sessions.remove(slot).is_none());
        assert_eq!(sessions.slot_of_key(SessionKey(1)), None);
        assert_eq!(sessions.slot_of_ufrag("Aone"), None);
        assert_eq!(sessions.route(path(1)).or(sessions.route(path(2))), None);
    }

    #[test]
    fn a_path_that_another_session_proved_later_stays_its_own() {
        let mut sessions = Sessions::default();
        let old = sessions.insert(session(1, "Aone"));
        let new = sessions.insert(session(2, "Atwo"));
        sessions.add_path(old, path(1));
        sessions.add_path(new, path(1));
        let old = sessions.remove(old).unwrap();
        assert_eq!(sessions.route(path(1)), Some(Route::Here(new)));
        assert!(old.paths.is_empty(), "others must not be told to forget it");

        let third = sessions.insert(session(3, "Athree"));
        sessions.add_path(third, path(1));
        assert!(
            !sessions.remove_path(new, path(1)),
            "it is another's by now"
        );
        assert!(sessions.remove_path(third, path(1)));
    }

    #[test]
    fn an_ssrc_that_another_session_has_too_stays_its_own() {
        let mut sessions = Sessions::default();
        let old = sessions.insert(session(1, "Aone"));
        let new = sessions.insert(session(2, "Atwo"));
        sessions.add_ssrc(old, 7);
        sessions.add_ssrc(new, 7);
        assert!(sessions.remove(old).unwrap().ssrcs.is_empty());
        assert_eq!(sessions.route_of_ssrc(7), Some(Route::Here(new)));
        assert_eq!(sessions.remove(new).unwrap().ssrcs, [7]);
    }

    #[test]
    fn both_fragments_of_an_ice_restart_lead_to_the_session_but_no_older_one() {
        let mut sessions = Sessions::default();
        let slot = sessions.insert(session(1, "Aone"));
        sessions.add_ufrag(slot, "Atwo");
        assert_eq!(sessions.slot_of_ufrag("Aone"), Some(slot));
        sessions.add_ufrag(slot, "Athree");
        assert_eq!(sessions.slot_of_ufrag("Aone"), None);
        assert_eq!(sessions.slot_of_ufrag("Atwo"), Some(slot));
        assert_eq!(sessions.slot_of_ufrag("Athree"), Some(slot));
    }

    #[test]
    fn media_by_an_unknown_path_finds_its_publisher_by_ssrc_while_that_is_there() {
        let mut sessions = Sessions::default();
        let slot = sessions.insert(session(1, "Aone"));
        assert!(sessions.add_ssrc(slot, 7));
        assert!(!sessions.add_ssrc(slot, 7), "it is known");
        assert_eq!(sessions.route_of_ssrc(7), Some(Route::Here(slot)));
        // Another shard has a publisher with the same one; it came later.
        sessions.add_route_of_ssrc(7, ShardId(1));
        sessions.remove(slot);
        assert_eq!(sessions.route_of_ssrc(7), Some(Route::There(ShardId(1))));
        sessions.remove_route_of_ssrc(7, ShardId(2));
        assert!(sessions.route_of_ssrc(7).is_some());
        sessions.remove_route_of_ssrc(7, ShardId(1));
        assert_eq!(sessions.route_of_ssrc(7), None);
    }

    #[test]
    fn a_session_leads_to_itself_by_so_many_ssrcs_and_no_more() {
        let mut sessions = Sessions::default();
        let slot = sessions.insert(session(1, "Aone"));
        let taken = (0..1_000).filter(|ssrc| sessions.add_ssrc(slot, *ssrc));
        assert_eq!(taken.count(), MAX_SSRCS);
    }

    #[test]
    fn a_route_is_taken_back_only_by_its_shard() {
        let mut sessions = Sessions::default();
        sessions.add_route(path(1), ShardId(1));
        sessions.remove_route(path(1), ShardId(2));
        assert_eq!(sessions.route(path(1)), Some(Route::There(ShardId(1))));
        sessions.remove_route(path(1), ShardId(1));
        assert_eq!(sessions.route(path(1)), None);
    }
}
