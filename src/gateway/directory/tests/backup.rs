//! Several publishers of one stream, and the slate.

use super::*;
use crate::gateway::{Priority, PublisherState};
use crate::ingest::Flow;

const POLICY: StreamPolicy = StreamPolicy {
    second_publisher: SecondPublisher::Backup,
    ..super::POLICY
};
const PRIMARY: Rank = Rank::Publisher(Priority::PRIMARY);
const BACKUP: Rank = Rank::Publisher(Priority::BACKUP);

impl Office {
    fn admit_ranked(&mut self, rank: Rank, codec: Codec) -> (SessionKey, Option<SessionKey>) {
        let demo = name("demo");
        self.directory.may_publish(&demo, CLIENT, rank).unwrap();
        let mut session = self.session(SessionKind::Whip, "demo");
        session.rank = rank;
        let key = session.place.key;
        let tracks = Arc::new([track(0, codec)]);
        let (_, displaced) =
            self.directory
                .add_publisher(session, tracks, std::sync::Arc::default());
        (key, displaced.map(|place| place.key))
    }

    fn publish_ranked(&mut self, rank: Rank) -> (SessionKey, Option<Debut>) {
        let (key, _) = self.admit_ranked(rank, Codec::H264);
        (key, self.directory.connected(key, self.now))
    }

    fn flow(&mut self, publisher: SessionKey, flows: bool) -> Option<Debut> {
        let broadcast = StreamKey(publisher.0);
        self.directory.set_flow(broadcast, flows, self.now);
        self.directory.poll_debut()
    }

    fn after(&mut self, time: Duration) -> Option<Debut> {
        assert_eq!(self.wait(time), []);
        self.directory.poll_debut()
    }

    fn on_air(&self) -> Option<SessionKey> {
        let live = self.directory.live(&name("demo"))?;
        Some(live.publisher.key)
    }
}

#[test]
fn a_backup_stands_by_and_is_taken_when_the_primary_stalls() {
    let mut office = Office::new(LIMITS, POLICY);
    let (primary, debut) = office.publish_ranked(PRIMARY);
    assert!(debut.is_some());
    let (_, viewer) = office.subscribe("demo");
    let (backup, debut) = office.publish_ranked(BACKUP);
    assert!(debut.is_none() && office.on_air() == Some(primary));

    let debut = office.flow(primary, false).unwrap();
    assert_eq!(debut.broadcast.publisher.key, backup);
    assert_eq!(debut.standby.unwrap().publisher.key, primary);
    assert_eq!(debut.bound[0].0.key, viewer);
    assert_eq!(debut.closed, []);
    let status = office.directory.streams();
    let states = status[0].publishers.iter();
    let states: Vec<_> = states.map(|one| (one.rank, one.on_air)).collect();
    assert_eq!(states, [(PRIMARY, false), (BACKUP, true)]);
    assert_eq!(status[0].publishers[0].state, PublisherState::Stalled);
}

#[test]
fn the_primary_returns_when_it_has_been_stable_for_long_enough() {
    let mut office = Office::new(LIMITS, POLICY);
    let (primary, _) = office.publish_ranked(PRIMARY);
    let (backup, _) = office.publish_ranked(BACKUP);
    office.flow(primary, false).unwrap();
    assert!(office.flow(primary, true).is_none());
    assert!(office.after(RETURN / 2).is_none());
    // A stall begins the time anew.
    assert!(office.flow(primary, false).is_none());
    assert!(office.flow(primary, true).is_none());
    assert!(office.after(RETURN / 2).is_none());
    assert_eq!(office.on_air(), Some(backup));
    let debut = office.after(RETURN / 2).unwrap();
    assert_eq!(debut.broadcast.publisher.key, primary);
    assert_eq!(debut.standby.unwrap().publisher.key, backup);
    assert_eq!(
        office.directory.poll_timeout(),
        None,
        "nothing is left to do"
    );
}

#[test]
fn one_that_ends_gives_way_and_its_successor_of_the_same_priority_comes_back() {
    let mut office = Office::new(LIMITS, POLICY);
    let (primary, _) = office.publish_ranked(PRIMARY);
    let (backup, _) = office.publish_ranked(BACKUP);
    let (_, viewer) = office.subscribe("demo");
    let departure = office.remove(primary);
    assert_eq!((departure.waiting, departure.closed.len()), (0, 0));
    let debut = office.directory.poll_debut().unwrap();
    assert_eq!(debut.broadcast.publisher.key, backup);
    assert!(debut.standby.is_none(), "it is gone");
    let (again, debut) = office.publish_ranked(PRIMARY);
    assert!(debut.is_none(), "it is not known to be stable");
    let debut = office.after(RETURN).unwrap();
    assert_eq!(debut.broadcast.publisher.key, again);
    for key in [again, backup] {
        office.remove(key);
    }
    assert!(office.offline("demo"), "the gap has begun");
    office.remove(viewer);
    assert!(office.is_empty());
}

#[test]
fn of_two_with_one_priority_the_second_replaces_the_first() {
    let mut office = Office::new(LIMITS, POLICY);
    let (primary, _) = office.publish_ranked(PRIMARY);
    let (backup, _) = office.publish_ranked(BACKUP);
    // On the air: viewers turn to it at once.
    let (second, debut) = office.publish_ranked(PRIMARY);
    let debut = debut.unwrap();
    assert_eq!(debut.broadcast.publisher.key, second);
    assert_eq!(keys(&debut.closed), [primary]);
    assert!(debut.standby.is_none());
    // Standing by: nobody notices.
    let (third, debut) = office.publish_ranked(BACKUP);
    assert!(debut.is_none());
    assert_eq!(keys(&office.directory.take_retired()), [backup]);
    for key in [second, third] {
        office.remove(key);
    }
    assert!(office.is_empty());
}

#[test]
fn a_backup_with_another_codec_takes_whom_it_can() {
    let mut office = Office::new(LIMITS, POLICY);
    let (primary, _) = office.publish_ranked(PRIMARY);
    let (backup, _) = office.admit_ranked(BACKUP, Codec::Vp8);
    office.directory.connected(backup, office.now);
    let (_, viewer) = office.subscribe("demo");
    let debut = office.flow(primary, false).unwrap();
    assert_eq!((debut.bound.len(), keys(&debut.closed)), (0, vec![viewer]));
}

#[test]
fn priorities_mean_nothing_without_backups_and_their_number_is_limited() {
    assert_eq!(super::POLICY.rank(BACKUP), PRIMARY);
    assert_eq!(POLICY.rank(BACKUP), BACKUP);
    let mut office = Office::new(LIMITS, POLICY);
    for priority in 0..2 {
        office.publish_ranked(Rank::Publisher(Priority(priority)));
    }
    let third = Rank::Publisher(Priority(2));
    let result = office.directory.may_publish(&name("demo"), CLIENT, third);
    assert_eq!(full(result), ("limits.publishers_per_stream", 2));
    office.publish_ranked(Rank::Publisher(Priority(1)));
}

#[test]
fn viewers_notice_nothing_of_a_switch() {
    let mut office = Office::new(LIMITS, POLICY);
    let (primary, _) = office.publish_ranked(PRIMARY);
    office.publish_ranked(BACKUP);
    let (id, _) = office.subscribe("demo");
    let events = office.directory.events(&name("demo"), id).unwrap();
    let before = format!("{events:?}");
    office.flow(primary, false).unwrap();
    office.remove(primary);
    assert_eq!(format!("{events:?}"), before);
}

/// Two publishers that stall and come back as they like, in virtual time.
#[test]
fn nobody_watches_one_that_has_stalled_while_another_one_sends() {
    const STEP: Duration = Duration::from_millis(10);
    let mut office = Office::new(LIMITS, POLICY);
    let keys = [PRIMARY, BACKUP].map(|rank| office.publish_ranked(rank).0);
    office.subscribe("demo");
    let start = office.now;
    let mut watched = keys.map(|_| {
        let mut flow = Flow::new(STALL);
        flow.handle_connected(start);
        flow
    });
    let mut last = [start; 2];
    let mut pauses_until = [start; 2];
    let (mut dice, mut switches, mut on_air) = (1_u64, 0, keys[0]);
    for _ in 0..60_000 {
        office.now += STEP;
        let now = office.now;
        for (index, flow) in watched.iter_mut().enumerate() {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            if (dice >> 33).is_multiple_of(1_500) {
                pauses_until[index] = now + STEP * ((dice >> 40) % 800) as u32;
            }
            let change = if pauses_until[index] <= now {
                last[index] = now;
                flow.handle_media(now).then_some(true)
            } else {
                flow.handle_timeout(now).then_some(false)
            };
            if let Some(flows) = change {
                let broadcast = StreamKey(keys[index].0);
                office.directory.set_flow(broadcast, flows, now);
            }
        }
        office.directory.handle_timeout(now);
        while let Some(debut) = office.directory.poll_debut() {
            on_air = debut.broadcast.publisher.key;
            assert_eq!((debut.bound.len(), debut.closed.len()), (1, 0));
            switches += 1;
        }
        let current = usize::from(on_air == keys[1]);
        let other = 1 - current;
        let silent = now - last[current];
        assert!(
            silent <= STALL || last[other] < now,
            "{silent:?} without a picture, though there is one"
        );
    }
    assert!(switches > 20, "{switches} switches in ten minutes");
    assert!(switches < 400, "{switches} switches in ten minutes");
}

mod slate {
    use super::*;

    const POLICY: StreamPolicy = StreamPolicy {
        slate: true,
        ..super::super::POLICY
    };

    impl Office {
        /// The orders as text.
        fn orders(&mut self) -> Vec<&'static str> {
            let orders = std::iter::from_fn(|| self.directory.poll_slate());
            orders
                .map(|order| match order {
                    SlateOrder::Start { .. } => "start",
                    SlateOrder::Stop { .. } => "stop",
                })
                .collect()
        }
    }

    #[test]
    fn it_fills_the_gap_between_two_publishers() {
        let mut office = Office::new(LIMITS, POLICY);
        let (primary, _) = office.publish_ranked(PRIMARY);
        let (id, viewer) = office.subscribe("demo");
        assert_eq!(office.orders(), [""; 0]);
        office.remove(primary);
        assert_eq!(office.orders(), ["start"]);
        let (slate, debut) = office.publish_ranked(Rank::Slate);
        assert_eq!(debut.unwrap().bound[0].0.key, viewer);
        let events = office.directory.events(&name("demo"), id).unwrap();
        assert!(
            format!("{events:?}").contains("active: false"),
            "it is no broadcast"
        );

        let (second, debut) = office.publish_ranked(PRIMARY);
        assert_eq!(debut.unwrap().broadcast.publisher.key, second);
        assert_eq!(office.orders(), ["stop"]);
        assert_eq!(keys(&office.directory.take_retired()), [slate]);
        office.remove(second);
        office.remove(viewer);
        assert!(office.is_empty());
    }

    #[test]
    fn it_ends_with_the_grace_time() {
        let mut office = Office::new(LIMITS, POLICY);
        let (primary, _) = office.publish_ranked(PRIMARY);
        let (_, viewer) = office.subscribe("demo");
        office.remove(primary);
        let (slate, _) = office.publish_ranked(Rank::Slate);
        let closed = office.wait(GRACE);
        assert_eq!(closed, [viewer, slate]);
        assert_eq!(office.orders(), ["start", "stop"]);
        assert!(office.is_empty());
    }

    #[test]
    fn it_stands_in_for_one_that_has_stalled_and_has_viewers() {
        let mut office = Office::new(LIMITS, POLICY);
        let (primary, _) = office.publish_ranked(PRIMARY);
        office.flow(primary, false);
        assert_eq!(office.orders(), [""; 0], "nobody looks");
        let (_, viewer) = office.subscribe("demo");
        assert_eq!(office.orders(), ["start"]);
        office.publish_ranked(Rank::Slate);
        // The last viewer goes: what is left is the publisher, stalled as it is.
        office.remove(viewer);
        assert_eq!(office.orders(), ["stop"]);
        assert_eq!(office.on_air(), Some(primary));
        let (_, _) = office.subscribe("demo");
        let (slate, _) = office.publish_ranked(Rank::Slate);
        assert_eq!(office.on_air(), Some(slate));
        let debut = office.flow(primary, true).unwrap();
        assert_eq!(debut.broadcast.publisher.key, primary);
    }

    #[test]
    fn who_can_not_see_it_stays_as_well() {
        let mut office = Office::new(LIMITS, POLICY);
        let (primary, _) = office.publish_ranked(PRIMARY);
        let (_, viewer) = office.subscribe("demo");
        office.remove(primary);
        let (slate, _) = office.admit_ranked(Rank::Slate, Codec::Vp8);
        let debut = office.directory.connected(slate, office.now).unwrap();
        assert_eq!((debut.bound.len(), debut.closed.len()), (0, 0));
        assert!(office.directory.sessions.contains_key(&viewer));
    }

    #[test]
    fn no_more_of_them_run_than_is_allowed_and_none_that_is_not_needed() {
        let mut office = Office::new(LIMITS, POLICY);
        for stream in ["a", "b"] {
            let (key, _) = office.publish(stream);
            office.subscribe(stream);
            office.remove(key);
        }
        assert_eq!(office.orders(), ["start"]);
        let refused = office
            .directory
            .may_publish(&name("b"), CLIENT, Rank::Slate);
        assert!(matches!(refused, Err(CreateError::Offline { .. })));
    }

    #[test]
    fn sound_alone_takes_no_place_of_one() {
        let mut office = Office::new(LIMITS, POLICY);
        let (key, _) = office.admit_publisher("demo", Codec::Opus);
        office.directory.connected(key, office.now).unwrap();
        office.subscribe("demo");
        office.remove(key);
        assert_eq!(office.orders(), [""; 0]);
    }
}
