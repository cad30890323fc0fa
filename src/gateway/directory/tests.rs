use super::*;

const LIMITS: Limits = Limits {
    sessions: 4,
    sessions_per_stream: 2,
    sessions_per_address: 4,
    streams: 2,
    half_open_sessions: 3,
    half_open_sessions_per_address: 4,
};

const CLIENT: Client = Client {
    address: std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
};

fn name(name: &str) -> StreamName {
    name.parse().unwrap()
}

fn publish(directory: &mut Directory, stream: &str) -> (SessionId, SessionKey) {
    directory.may_publish(&name(stream), CLIENT).unwrap();
    let (id, key, shard) = (
        SessionId::random(),
        directory.next_session_key(),
        directory.least_loaded(),
    );
    let session = Session::new(
        key,
        SessionKind::Whip,
        name(stream),
        CLIENT,
        shard,
        String::new(),
    );
    directory.add_publisher(id, session, Arc::new([]));
    (id, key)
}

fn subscribe(directory: &mut Directory, stream: &str) -> (SessionId, SessionKey) {
    directory.may_subscribe(&name(stream), CLIENT).unwrap();
    let (id, key, shard) = (
        SessionId::random(),
        directory.next_session_key(),
        directory.least_loaded(),
    );
    directory.add_subscriber(
        id,
        Session::new(
            key,
            SessionKind::Whep,
            name(stream),
            CLIENT,
            shard,
            String::new(),
        ),
    );
    (id, key)
}

#[test]
fn a_stream_is_offline_until_its_publisher_has_connected() {
    let mut directory = Directory::new(LIMITS, 2);
    let (_, key) = publish(&mut directory, "demo");
    assert!(matches!(
        directory.may_subscribe(&name("demo"), CLIENT),
        Err(CreateError::Offline { .. })
    ));
    assert!(directory.streams().is_empty());
    assert!(directory.connected(key).is_some());
    assert!(directory.connected(key).is_none(), "only once");
    assert!(directory.may_subscribe(&name("demo"), CLIENT).is_ok());
    assert_eq!(directory.streams().len(), 1);
}

#[test]
fn a_name_has_one_publisher_at_a_time() {
    let mut directory = Directory::new(LIMITS, 1);
    let (_, key) = publish(&mut directory, "demo");
    assert!(matches!(
        directory.may_publish(&name("demo"), CLIENT),
        Err(CreateError::AlreadyPublished(_))
    ));
    directory.remove(key).unwrap();
    publish(&mut directory, "demo");
}

#[test]
fn subscribers_leave_with_their_publisher() {
    let mut directory = Directory::new(LIMITS, 2);
    let (_, publisher) = publish(&mut directory, "demo");
    directory.connected(publisher);
    let (id, subscriber) = subscribe(&mut directory, "demo");
    directory.connected(subscriber);
    assert_eq!(directory.streams()[0].subscribers, 1);
    let (_, orphans) = directory.remove(publisher).unwrap();
    assert_eq!(orphans.0.len(), 1);
    assert_eq!(orphans.0[0].0, subscriber);
    assert!(
        directory
            .session(SessionKind::Whep, &name("demo"), id)
            .is_err()
    );
    assert_eq!((directory.half_open, &directory.load[..]), (0, &[0, 0][..]));
}

#[test]
fn a_session_answers_only_to_its_kind_and_stream() {
    let mut directory = Directory::new(LIMITS, 1);
    let (id, _) = publish(&mut directory, "demo");
    assert!(
        directory
            .session(SessionKind::Whip, &name("demo"), id)
            .is_ok()
    );
    assert!(
        directory
            .session(SessionKind::Whep, &name("demo"), id)
            .is_err()
    );
    assert!(
        directory
            .session(SessionKind::Whip, &name("other"), id)
            .is_err()
    );
}

#[test]
fn every_limit_names_its_setting() {
    let full = |result: Result<(), CreateError>| match result {
        Err(CreateError::Full { setting, limit }) => (setting, limit),
        other => panic!("{other:?}"),
    };
    let mut directory = Directory::new(LIMITS, 1);
    let (_, first) = publish(&mut directory, "a");
    publish(&mut directory, "b");
    assert_eq!(
        full(directory.may_publish(&name("c"), CLIENT)),
        ("limits.streams", 2)
    );
    directory.connected(first);
    subscribe(&mut directory, "a");
    subscribe(&mut directory, "a");
    assert_eq!(
        full(directory.may_subscribe(&name("a"), CLIENT).map(drop)),
        ("limits.sessions_per_stream", 2)
    );
    let mut directory = Directory::new(
        Limits {
            half_open_sessions: 1,
            ..LIMITS
        },
        1,
    );
    let (_, key) = publish(&mut directory, "a");
    directory.connected(key);
    subscribe(&mut directory, "a");
    assert!(directory.may_publish(&name("b"), CLIENT).is_ok());
    assert_eq!(
        full(directory.may_subscribe(&name("a"), CLIENT).map(drop)),
        ("limits.half_open_sessions", 1)
    );
    let mut directory = Directory::new(
        Limits {
            sessions: 1,
            ..LIMITS
        },
        1,
    );
    publish(&mut directory, "a");
    assert_eq!(
        full(directory.may_publish(&name("b"), CLIENT)),
        ("limits.sessions", 1)
    );
}

#[test]
fn sessions_are_spread_over_the_shards() {
    let mut directory = Directory::new(LIMITS, 2);
    let (_, key) = publish(&mut directory, "demo");
    directory.connected(key);
    subscribe(&mut directory, "demo");
    subscribe(&mut directory, "demo");
    assert_eq!(directory.load, [2, 1]);
}
