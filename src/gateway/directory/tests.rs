mod backup;
mod verdict;

use super::*;
use crate::gateway::{LayerChoice, LayerStatus, MediaLayers, StreamEvent};
use crate::rtp::{Codec, ExtensionMap};
use crate::sdp::{Feedback, SubscribedTrack, SubscriberSpec};
use crate::stream::TrackId;

const LIMITS: Limits = Limits {
    sessions: 8,
    sessions_per_stream: 4,
    sessions_per_address: 100,
    streams: 2,
    publishers_per_stream: 2,
    slates: 1,
    half_open_sessions: 100,
    half_open_sessions_per_address: 100,
    answer_timeout: Duration::from_secs(30),
};
const GRACE: Duration = Duration::from_secs(10);
const STALL: Duration = Duration::from_millis(500);
const RETURN: Duration = Duration::from_secs(5);
const POLICY: StreamPolicy = StreamPolicy {
    wait_for_publisher: false,
    reconnect_grace: GRACE,
    second_publisher: SecondPublisher::Replace,
    stall_after: STALL,
    return_after: RETURN,
    slate: false,
    playout_delay: None,
};
const CLIENT: Client = Client {
    address: std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
    is_here: false,
};

fn name(name: &str) -> StreamName {
    name.parse().unwrap()
}

fn track(id: u8, codec: Codec) -> TrackInfo {
    TrackInfo {
        id: TrackId(id),
        codec,
        fmtp: String::new(),
        channels: 1,
    }
}

/// A viewer of H264 that asked for video alone.
fn reception(ssrc: u32) -> Reception {
    let line = SubscribedTrack {
        track: TrackId(0),
        kind: crate::rtp::MediaKind::Video,
        clock_rate: 90_000,
        mid: "0".into(),
        payload_type: 102,
        red_payload_type: None,
        rtx_payload_type: None,
        ssrc,
        rtx_ssrc: None,
        extensions: ExtensionMap::default(),
        feedback: Feedback::default(),
    };
    let spec = SubscriberSpec { tracks: vec![line] };
    let asked = vec![crate::rtp::MediaKind::Video];
    Reception::settled(asked, &spec, &[track(0, Codec::H264)])
}

/// A directory and its clock.
struct Office {
    directory: Directory,
    now: Instant,
}

impl Office {
    fn new(limits: Limits, policy: StreamPolicy) -> Self {
        Self {
            directory: Directory::new(limits, policy, 2),
            now: Instant::now(),
        }
    }

    fn session(&mut self, kind: SessionKind, stream: &str) -> Session {
        let key = SessionKey(self.directory.next_key());
        let shard = self.directory.least_loaded();
        let id = SessionId::random();
        Session::new(
            id,
            Place { key, shard },
            kind,
            name(stream),
            CLIENT,
            String::new(),
        )
    }

    /// A publisher of H264 that has to connect yet, and who was displaced by it.
    fn admit_publisher(&mut self, stream: &str, codec: Codec) -> (SessionKey, Option<SessionKey>) {
        self.directory
            .may_publish(&name(stream), CLIENT, Rank::default())
            .unwrap();
        let session = self.session(SessionKind::Whip, stream);
        let key = session.place.key;
        let tracks = Arc::new([track(0, codec)]);
        let (_, displaced) =
            self.directory
                .add_publisher(session, tracks, std::sync::Arc::default());
        (key, displaced.map(|place| place.key))
    }

    fn publish(&mut self, stream: &str) -> (SessionKey, Debut) {
        let (key, _) = self.admit_publisher(stream, Codec::H264);
        (key, self.directory.connected(key, self.now).unwrap())
    }

    fn admit_subscriber(&mut self, stream: &str) -> (SessionId, SessionKey) {
        self.directory.may_subscribe(&name(stream), CLIENT).unwrap();
        let session = self.session(SessionKind::Whep, stream);
        let (id, key) = (session.id, session.place.key);
        self.directory.add_subscriber(session, reception(1));
        (id, key)
    }

    fn subscribe(&mut self, stream: &str) -> (SessionId, SessionKey) {
        let (id, key) = self.admit_subscriber(stream);
        assert!(self.directory.connected(key, self.now).is_none());
        (id, key)
    }

    fn remove(&mut self, key: SessionKey) -> Departure {
        self.directory.remove(key, self.now).unwrap()
    }

    fn wait(&mut self, time: Duration) -> Vec<SessionKey> {
        self.now += time;
        keys(&self.directory.handle_timeout(self.now))
    }

    fn offline(&self, stream: &str) -> bool {
        let found = self.directory.may_subscribe(&name(stream), CLIENT);
        matches!(found, Err(CreateError::Offline { .. }))
    }

    /// Nothing is left of anybody.
    fn is_empty(&self) -> bool {
        let Directory {
            streams,
            sessions,
            keys,
            load,
            half_open,
            offered,
            addresses,
            ..
        } = &self.directory;
        streams.is_empty()
            && sessions.is_empty()
            && keys.is_empty()
            && load.iter().all(|load| *load == 0)
            && *half_open == 0
            && *offered == 0
            && addresses.is_empty()
    }
}

fn keys(places: &[Place]) -> Vec<SessionKey> {
    places.iter().map(|place| place.key).collect()
}

fn full<T>(result: Result<T, CreateError>) -> (&'static str, usize) {
    match result.map(drop) {
        Err(CreateError::Full { setting, limit }) => (setting, limit),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stream_is_offline_until_its_publisher_has_connected() {
    let mut office = Office::new(LIMITS, POLICY);
    let (key, _) = office.admit_publisher("demo", Codec::H264);
    assert!(office.offline("demo") && office.directory.streams().is_empty());
    assert!(office.directory.connected(key, office.now).is_some());
    assert!(
        office.directory.connected(key, office.now).is_none(),
        "only once"
    );
    assert!(!office.offline("demo"));
    assert_eq!(office.directory.streams().len(), 1);
}

#[test]
fn viewers_stay_through_the_gap_and_get_the_next_publisher() {
    let mut office = Office::new(LIMITS, POLICY);
    let (first, _) = office.publish("demo");
    let (_, connected) = office.subscribe("demo");
    let (_, half_open) = office.admit_subscriber("demo");
    let departure = office.remove(first);
    assert_eq!((departure.closed.len(), departure.waiting), (0, 2));
    assert!(office.offline("demo") && office.directory.streams().is_empty());

    assert_eq!(office.wait(GRACE - Duration::from_millis(1)), []);
    let (_, debut) = office.publish("demo");
    let bound: Vec<_> = debut.bound.iter().map(|(place, _)| place.key).collect();
    assert_eq!((bound, debut.closed), (vec![connected, half_open], vec![]));
    assert_eq!(debut.bound[0].1.tracks[0].ssrc, 1);
    assert_eq!(office.wait(GRACE), [], "the gap is closed");
    assert_eq!(office.directory.streams()[0].subscribers, 1);
}

#[test]
fn viewers_leave_when_nobody_comes_within_the_grace() {
    let mut office = Office::new(LIMITS, POLICY);
    let (publisher, _) = office.publish("demo");
    let (id, viewer) = office.subscribe("demo");
    office.remove(publisher);
    assert_eq!(office.directory.poll_timeout(), Some(office.now + GRACE));
    assert_eq!(office.wait(GRACE), [viewer]);
    let session = office
        .directory
        .session(SessionKind::Whep, &name("demo"), id);
    assert!(session.is_err());
    assert!(office.is_empty());
    assert_eq!(office.directory.poll_timeout(), None);
}

#[test]
fn without_grace_viewers_leave_with_their_publisher() {
    let policy = StreamPolicy {
        reconnect_grace: Duration::ZERO,
        ..POLICY
    };
    let mut office = Office::new(LIMITS, policy);
    let (publisher, _) = office.publish("demo");
    let (_, viewer) = office.subscribe("demo");
    assert_eq!(keys(&office.remove(publisher).closed), [viewer]);
    assert!(office.is_empty());
}

#[test]
fn a_publisher_that_is_connecting_when_the_grace_ends_is_waited_for() {
    for comes in [true, false] {
        let mut office = Office::new(LIMITS, POLICY);
        let (first, _) = office.publish("demo");
        let (_, viewer) = office.subscribe("demo");
        office.remove(first);
        let (second, _) = office.admit_publisher("demo", Codec::H264);
        assert_eq!(office.wait(2 * GRACE), []);
        if comes {
            let debut = office.directory.connected(second, office.now).unwrap();
            assert_eq!(debut.bound.len(), 1);
        } else {
            assert_eq!(keys(&office.remove(second).closed), [viewer]);
            assert!(office.is_empty());
        }
    }
}

#[test]
fn a_gap_without_viewers_leaves_nothing() {
    let mut office = Office::new(LIMITS, POLICY);
    let (publisher, _) = office.publish("demo");
    let (_, viewer) = office.subscribe("demo");
    office.remove(publisher);
    office.remove(viewer);
    assert!(office.is_empty());
    let (publisher, _) = office.publish("demo");
    office.remove(publisher);
    assert!(office.is_empty());
    assert_eq!(office.wait(2 * GRACE), []);
    assert_eq!(office.directory.poll_timeout(), None);
}

#[test]
fn an_old_gap_does_not_end_a_new_one() {
    let mut office = Office::new(LIMITS, POLICY);
    let (first, _) = office.publish("demo");
    let (_, viewer) = office.subscribe("demo");
    office.remove(first);
    assert_eq!(office.wait(GRACE / 2), []);
    let (second, _) = office.publish("demo");
    office.remove(second);
    assert_eq!(office.wait(GRACE / 2), [], "the end of the first gap");
    assert_eq!(office.wait(GRACE / 2), [viewer]);
}

#[test]
fn a_second_publisher_takes_over_when_it_has_connected() {
    let mut office = Office::new(LIMITS, POLICY);
    let (first, _) = office.publish("demo");
    let (_, viewer) = office.subscribe("demo");
    let (second, displaced) = office.admit_publisher("demo", Codec::H264);
    assert_eq!(displaced, None);
    assert_eq!(office.directory.streams().len(), 1, "the first goes on");
    let debut = office.directory.connected(second, office.now).unwrap();
    assert_eq!(keys(&debut.closed), [first]);
    assert_eq!(debut.bound[0].0.key, viewer);
    // What its shard says of it later changes nothing.
    assert!(office.directory.remove(first, office.now).is_none());
    assert_eq!(office.directory.streams().len(), 1);
    office.remove(second);
    office.remove(viewer);
    assert!(office.is_empty());
}

#[test]
fn of_several_that_connect_the_newest_gets_the_stream() {
    let mut office = Office::new(LIMITS, POLICY);
    let (older, _) = office.admit_publisher("demo", Codec::H264);
    let (newer, displaced) = office.admit_publisher("demo", Codec::H264);
    assert_eq!(displaced, Some(older));
    assert!(office.directory.connected(older, office.now).is_none());
    assert!(office.directory.connected(newer, office.now).is_some());
    office.remove(newer);
    assert!(office.is_empty());
}

#[test]
fn a_second_publisher_that_never_connects_changes_nothing() {
    let mut office = Office::new(LIMITS, POLICY);
    office.publish("demo");
    let (second, _) = office.admit_publisher("demo", Codec::H264);
    let departure = office.remove(second);
    assert_eq!((departure.closed.len(), departure.waiting), (0, 0));
    assert_eq!(office.directory.streams().len(), 1);
}

#[test]
fn where_a_second_publisher_is_refused_the_name_is_free_again_in_the_gap() {
    let policy = StreamPolicy {
        second_publisher: SecondPublisher::Refuse,
        ..POLICY
    };
    let mut office = Office::new(LIMITS, policy);
    let refused = |office: &Office| {
        let result = office
            .directory
            .may_publish(&name("demo"), CLIENT, Rank::default());
        matches!(result, Err(CreateError::AlreadyPublished(_)))
    };
    let (key, _) = office.admit_publisher("demo", Codec::H264);
    assert!(refused(&office), "it is connecting");
    office.directory.connected(key, office.now);
    let (_, viewer) = office.subscribe("demo");
    assert!(refused(&office));
    office.remove(key);
    let (_, debut) = office.publish("demo");
    assert_eq!(debut.bound[0].0.key, viewer);
}

#[test]
fn a_viewer_that_can_not_take_the_next_codec_is_sent_away() {
    let mut office = Office::new(LIMITS, POLICY);
    let (first, _) = office.publish("demo");
    let (id, viewer) = office.subscribe("demo");
    let mut events = office.directory.events(&name("demo"), id).unwrap();
    office.remove(first);
    let (second, _) = office.admit_publisher("demo", Codec::Vp8);
    let debut = office.directory.connected(second, office.now).unwrap();
    assert_eq!((keys(&debut.closed), debut.bound.len()), (vec![viewer], 0));
    let told: Vec<_> = std::iter::from_fn(|| poll(&mut events)).collect();
    assert_eq!(told.last(), Some(&StreamEvent::Reconnect { url: None }));
    office.remove(second);
    assert!(office.is_empty());
}

#[test]
fn where_viewers_may_wait_they_are_bound_when_the_publisher_comes() {
    let policy = StreamPolicy {
        wait_for_publisher: true,
        ..POLICY
    };
    let mut office = Office::new(LIMITS, policy);
    let (id, viewer) = office.subscribe("demo");
    assert!(office.directory.streams().is_empty());
    let mut events = office.directory.events(&name("demo"), id).unwrap();
    assert_eq!(poll(&mut events), Some(StreamEvent::Inactive));
    assert_eq!(poll(&mut events), Some(StreamEvent::ViewerCount(1)));
    let (_, debut) = office.publish("demo");
    assert_eq!(debut.bound[0].0.key, viewer);
    assert_eq!(poll(&mut events), Some(StreamEvent::Active));

    // Names that viewers make up keep no publisher out.
    for stream in ["a", "b", "c"] {
        office.subscribe(stream);
    }
    assert!(
        office
            .directory
            .may_publish(&name("e"), CLIENT, Rank::default())
            .is_ok()
    );
}

#[test]
fn an_offer_of_ours_without_an_answer_is_taken_back() {
    let mut office = Office::new(LIMITS, POLICY);
    let (publisher, _) = office.publish("demo");
    let tracks: Arc<[TrackInfo]> = Arc::new([track(0, Codec::H264)]);
    let offer = |office: &mut Office| {
        let session = office.session(SessionKind::Whep, "demo");
        let (id, key) = (session.id, session.place.key);
        let offered = offered(Arc::clone(&tracks));
        office.directory.add_subscriber(session, offered);
        let valid = office.directory.await_answer(id, office.now);
        assert_eq!(valid, LIMITS.answer_timeout);
        key
    };
    let unanswered = offer(&mut office);
    assert_eq!(office.wait(Duration::from_secs(1)), []);
    let answered = offer(&mut office);
    office.directory.settle(answered, reception(7));

    // It is on no shard yet, so that nothing can be sent to it.
    let (second, debut) = office.publish("demo");
    let bound: Vec<_> = debut.bound.iter().map(|(place, _)| place.key).collect();
    assert_eq!(
        (bound, keys(&debut.closed)),
        (vec![answered], vec![publisher])
    );

    assert_eq!(
        office.wait(LIMITS.answer_timeout - Duration::from_secs(1)),
        [unanswered]
    );
    assert_eq!(office.wait(LIMITS.answer_timeout), []);
    assert_eq!(office.directory.poll_timeout(), None);
    office.remove(second);
    office.remove(answered);
    assert!(office.is_empty());
}

/// A viewer that was made an offer.
fn offered(tracks: Arc<[TrackInfo]>) -> Reception {
    let ice = crate::sdp::IceCredentials {
        ufrag: "user".to_owned(),
        pwd: "p".repeat(24),
    };
    let local = crate::sdp::Local {
        ice: &ice,
        fingerprint: &crate::sdp::Fingerprint([0; 32]),
        candidates: &[],
        session_id: 1,
        stream: &name("demo"),
        leniency: crate::sdp::Leniency::default(),
        audio_redundancy: false,
    };
    let offer = crate::sdp::counter_offer(&tracks, &local, None, &mut || 9).unwrap();
    Reception::Offered(Box::new(crate::gateway::reception::Offered {
        offer,
        ice,
        tracks,
    }))
}

#[test]
fn unanswered_offers_hold_half_of_the_half_open_places_and_the_oldest_gives_way() {
    let limits = Limits {
        half_open_sessions: 4,
        sessions_per_stream: 8,
        ..LIMITS
    };
    let mut office = Office::new(limits, POLICY);
    let (publisher, _) = office.publish("demo");
    let tracks: Arc<[TrackInfo]> = Arc::new([track(0, Codec::H264)]);
    let offer = |office: &mut Office| {
        let room = office.directory.may_subscribe(&name("demo"), CLIENT);
        assert!(room.unwrap().is_some());
        let closed = keys(&office.directory.make_room_for_offer(office.now));
        let session = office.session(SessionKind::Whep, "demo");
        let (id, key) = (session.id, session.place.key);
        let reception = offered(Arc::clone(&tracks));
        office.directory.add_subscriber(session, reception);
        office.directory.await_answer(id, office.now);
        (key, closed)
    };
    let (first, closed) = offer(&mut office);
    assert_eq!(closed, []);
    let (second, closed) = offer(&mut office);
    assert_eq!(closed, []);
    office.directory.settle(first, reception(7));
    let (third, closed) = offer(&mut office);
    assert_eq!(closed, [], "the first has been answered");
    let (fourth, closed) = offer(&mut office);
    assert_eq!(closed, [second]);
    let (_, viewer) = office.admit_subscriber("demo");
    let full = full(office.directory.may_subscribe(&name("demo"), CLIENT));
    assert_eq!(full, ("limits.half_open_sessions", 4));
    assert_eq!(office.wait(LIMITS.answer_timeout), [third, fourth]);
    for key in [first, viewer, publisher] {
        office.remove(key);
    }
    office.wait(GRACE);
    assert!(office.is_empty());
}

#[test]
fn viewers_are_told_of_the_gap_at_once_and_of_counts_when_it_is_time() {
    let mut office = Office::new(LIMITS, POLICY);
    let (publisher, _) = office.publish("demo");
    let (id, _) = office.subscribe("demo");
    let (_, other) = office.subscribe("demo");
    assert!(!office.directory.is_recounted(), "nobody reads");
    let mut events = office.directory.events(&name("demo"), id).unwrap();
    assert_eq!(poll(&mut events), Some(StreamEvent::Active));
    assert_eq!(poll(&mut events), Some(StreamEvent::ViewerCount(2)));
    office.remove(other);
    assert!(office.directory.is_recounted());
    assert_eq!(poll(&mut events), None);
    office.directory.tell_counts();
    assert_eq!(poll(&mut events), Some(StreamEvent::ViewerCount(1)));
    office.remove(publisher);
    assert_eq!(poll(&mut events), Some(StreamEvent::Inactive));
    office.publish("demo");
    assert_eq!(poll(&mut events), Some(StreamEvent::Active));
}

#[test]
fn those_who_are_sent_away_are_told_where_to() {
    let mut office = Office::new(LIMITS, POLICY);
    office.publish("demo");
    let (id, _) = office.subscribe("demo");
    let mut events = office.directory.events(&name("demo"), id).unwrap();
    let url = Some("https://b.example/whep/{stream}");
    office.directory.send_away(url);
    let told: Vec<_> = std::iter::from_fn(|| poll(&mut events)).collect();
    let url = Some("https://b.example/whep/demo".to_owned());
    let reconnect = StreamEvent::Reconnect { url };
    assert_eq!(told.last(), Some(&reconnect));
    // Who reads them only now, or again, is told as well.
    let mut again = office.directory.events(&name("demo"), id).unwrap();
    let told: Vec<_> = std::iter::from_fn(|| poll(&mut again)).collect();
    assert_eq!(told.last(), Some(&reconnect));
}

#[test]
fn viewers_are_told_of_the_layers_on_their_m_lines_and_choose_among_them() {
    let layers = |rids: &[&str]| -> Arc<[LayerStatus]> {
        let layer = |rid: &&str| LayerStatus {
            encoding_id: (*rid).to_owned(),
            ..LayerStatus::default()
        };
        rids.iter().map(layer).collect()
    };
    let mut office = Office::new(LIMITS, POLICY);
    let (_, debut) = office.publish("demo");
    let (id, viewer) = office.subscribe("demo");
    let session = office.directory.sessions.get_mut(&viewer).unwrap();
    session.mids = vec!["a".to_owned(), "0".to_owned()];
    let (key, track) = (debut.broadcast.key, TrackId(0));
    office.directory.set_layers(key, track, layers(&["h"]));
    let mut events = office.directory.events(&name("demo"), id).unwrap();
    let expected = |rids: &[&str]| {
        let line = MediaLayers {
            media: 1,
            mid: "0".to_owned(),
            layers: layers(rids).to_vec(),
        };
        Some(StreamEvent::Layers(Arc::new([line])))
    };
    let told: Vec<_> = std::iter::from_fn(|| poll(&mut events)).collect();
    assert_eq!(told.last().cloned(), expected(&["h"]));
    office.directory.set_layers(key, track, layers(&["h", "l"]));
    assert_eq!(poll(&mut events), expected(&["h", "l"]));
    office.directory.set_layers(key, track, layers(&["h", "l"]));
    assert_eq!(poll(&mut events), None);

    let mut choose = |mid: Option<&str>, rid: Option<&str>| {
        let choice = LayerChoice {
            media_id: mid.map(str::to_owned),
            rid: rid.map(str::to_owned),
            ..LayerChoice::default()
        };
        let chosen = office.directory.choose_layer(&name("demo"), id, choice);
        chosen.map(|(place, choice)| (place.key, choice.media_id))
    };
    let mid = |mid: &str| (viewer, Some(mid.to_owned()));
    // By the index of the m-line, or by its mid.
    assert_eq!(choose(Some("0"), Some("l")).unwrap(), mid("a"));
    assert_eq!(choose(Some("1"), None).unwrap(), mid("0"));
    assert_eq!(choose(Some("a"), None).unwrap(), mid("a"));
    assert_eq!(choose(None, None).unwrap(), (viewer, None));
    assert!(matches!(
        choose(Some("2"), None),
        Err(SessionError::NoLayer)
    ));
    assert!(matches!(
        choose(Some("x"), None),
        Err(SessionError::NoLayer)
    ));
    assert!(matches!(
        choose(None, Some("x")),
        Err(SessionError::Layer(_))
    ));

    // What an older broadcast says late is nothing to the new one, which has no layers.
    office.publish("demo");
    office.directory.set_layers(key, track, layers(&["m"]));
    assert_eq!(poll(&mut events), Some(StreamEvent::Layers(Arc::new([]))));
}

/// The next event, if there is one now.
fn poll(events: &mut crate::gateway::Events) -> Option<StreamEvent> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(events.next()).poll(&mut context) {
        std::task::Poll::Ready(event) => event,
        std::task::Poll::Pending => None,
    }
}

#[test]
fn a_session_answers_only_to_its_kind_and_stream() {
    let mut office = Office::new(LIMITS, POLICY);
    office.publish("demo");
    let (id, _) = office.subscribe("demo");
    for (kind, stream, found) in [
        (SessionKind::Whep, "demo", true),
        (SessionKind::Whip, "demo", false),
        (SessionKind::Whep, "other", false),
    ] {
        let session = office.directory.session(kind, &name(stream), id);
        assert_eq!(session.is_ok(), found, "{kind:?} {stream}");
    }
}

#[test]
fn every_limit_names_its_setting() {
    let limits = Limits {
        sessions_per_stream: 2,
        ..LIMITS
    };
    let mut office = Office::new(limits, POLICY);
    office.publish("a");
    office.admit_publisher("b", Codec::H264);
    let publish = |office: &Office, stream| {
        office
            .directory
            .may_publish(&name(stream), CLIENT, Rank::default())
    };
    let subscribe = |office: &Office| office.directory.may_subscribe(&name("a"), CLIENT);
    assert_eq!(full(publish(&office, "c")), ("limits.streams", 2));
    assert!(publish(&office, "a").is_ok(), "it makes no stream");
    office.subscribe("a");
    office.subscribe("a");
    assert_eq!(full(subscribe(&office)), ("limits.sessions_per_stream", 2));

    let limits = Limits {
        half_open_sessions: 1,
        ..LIMITS
    };
    let mut office = Office::new(limits, POLICY);
    office.publish("a");
    office.admit_subscriber("a");
    assert!(publish(&office, "b").is_ok());
    assert_eq!(full(subscribe(&office)), ("limits.half_open_sessions", 1));

    let limits = Limits {
        sessions: 1,
        ..LIMITS
    };
    let mut office = Office::new(limits, POLICY);
    office.publish("a");
    assert_eq!(full(publish(&office, "b")), ("limits.sessions", 1));
    assert_eq!(full(subscribe(&office)), ("limits.sessions", 1));

    let limits = Limits {
        half_open_sessions_per_address: 1,
        ..LIMITS
    };
    let mut office = Office::new(limits, POLICY);
    office.publish("a");
    office.admit_subscriber("a");
    for refused in [publish(&office, "b"), subscribe(&office).map(drop)] {
        let setting = "limits.half_open_sessions_per_address";
        assert!(
            matches!(refused, Err(CreateError::TooManyFromAddress { setting: named, limit: 1 }) if named == setting)
        );
    }
}

#[test]
fn sessions_are_spread_over_the_shards() {
    let mut office = Office::new(LIMITS, POLICY);
    office.publish("demo");
    office.subscribe("demo");
    office.subscribe("demo");
    assert_eq!(office.directory.load, [2, 1]);
}
