//! Viewers' layers follow what their links carry: after feedback and at their deadlines.

use std::time::Instant;

use super::batch::SealedOutlet;
use super::session::Media;
use super::state::State;

impl State {
    /// Lets a subscriber send the padding that is due and choose its layers anew.
    pub(super) fn adapt(&mut self, now: Instant, slot: usize) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let Media::Subscriber(subscriber) = &mut session.media else {
            return;
        };
        if !subscriber.is_adapting() {
            return;
        }
        let counters = self.shards[usize::from(self.id.0)].counters();
        let (batch, wire) = (&mut self.batch, &mut self.wire);
        let outlet = SealedOutlet::new(&mut session.transport, batch, wire, counters);
        let Some(mut outlet) = outlet else {
            return;
        };
        let key = session.stream;
        let stream = self.streams.get(&key);
        let ranked = |track| Some(&*stream?.track(track)?.ranked);
        let ring = |track, layer| Some(&stream?.layer(track, layer)?.ring);
        let changed = subscriber.adapt(now, ranked, ring, &mut outlet);
        outlet.flush();
        if subscriber.catch_up_at().is_some() {
            let is_behind = &mut session.is_behind;
            self.catching_up.insert(now, session.key, is_behind);
        }
        let waiting = changed.then(|| subscriber.waiting_for_keyframe());
        self.note_standing(slot);
        if let Some(waiting) = waiting {
            self.ask_for(now, key, &waiting);
            self.count_needs(key);
        }
    }
}
