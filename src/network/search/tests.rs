//! Against a STUN server on loopback.

use super::*;
use crate::config::{Host, Settings};

/// A server that answers as long as the test lasts. `first_lost` requests get no answer.
async fn server(first_lost: usize) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut datagram = [0; 1_500];
        let mut lost = 0;
        loop {
            let (length, from) = socket.recv_from(&mut datagram).await.unwrap();
            if lost < first_lost {
                lost += 1;
            } else if let Some(answer) = stun::answer(&datagram[..length], from) {
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    });
    address
}

fn media(stun: Option<SocketAddr>, addresses: &[&str]) -> Media {
    let mut media = Settings::defaults(&Host::example()).media;
    media.listen = "127.0.0.1:0".parse().unwrap();
    media.stun = stun.map(|address| address.to_string().parse().unwrap());
    media.addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
    media
}

async fn mappings(media: &Media) -> Vec<Mapping> {
    Search::from_media_port(media).run().await.mappings.unwrap()
}

#[tokio::test]
async fn a_stun_server_tells_the_address_from_which_it_was_asked() {
    let media = media(Some(server(0).await), &[]);
    let [mapping] = mappings(&media).await[..] else {
        panic!("one family, one question");
    };
    let expected = SocketAddr::new(media.listen.ip(), mapping.local);
    assert_eq!(mapping.outcome, Ok(expected));
}

#[tokio::test]
async fn it_is_asked_from_the_media_port_while_that_is_free() {
    let mut media = media(Some(server(0).await), &[]);
    let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    media.listen = taken.local_addr().unwrap();
    assert_ne!(mappings(&media).await[0].local, media.listen.port());
    drop(taken);
    assert_eq!(mappings(&media).await[0].local, media.listen.port());
    assert_ne!(
        Search::from_any_port(&media).run().await.mappings.unwrap()[0].local,
        media.listen.port()
    );
}

#[tokio::test]
async fn a_lost_request_is_sent_again() {
    let media = media(Some(server(1).await), &[]);
    assert!(mappings(&media).await[0].outcome.is_ok());
}

#[tokio::test]
async fn a_silent_server_holds_the_start_up_for_three_seconds_at_most() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let media = media(Some(silent.local_addr().unwrap()), &[]);
    let start = Instant::now();
    assert_eq!(mappings(&media).await[0].outcome, Err(BindingError::Silent));
    assert!(Instant::now() - start >= stun::PATIENCE);
}

#[tokio::test]
async fn a_server_of_the_other_family_can_not_be_asked() {
    let media = media(Some("[::1]:3478".parse().unwrap()), &[]);
    let found = Search::from_media_port(&media).run().await;
    assert!(found.mappings.unwrap_err().contains("family"));
}

#[tokio::test]
async fn names_are_resolved_or_say_why_not() {
    let media = media(
        None,
        &["localhost", "203.0.113.9", "does-not-exist.invalid"],
    );
    let found = Search::from_media_port(&media).run().await;
    assert_eq!(found.names.len(), 2);
    let localhost = found.names["localhost"].as_ref().unwrap();
    assert!(!localhost.is_empty() && localhost.iter().all(IpAddr::is_loopback));
    assert!(found.names["does-not-exist.invalid"].is_err());
}

#[tokio::test]
async fn what_is_not_found_again_stays_as_it_was() {
    let media = media(Some(server(0).await), &["localhost"]);
    let first = Search::from_media_port(&media).run().await;
    let mut second = first.clone();
    second
        .names
        .insert("localhost".to_owned(), Err("gone".to_owned()));
    second.mappings = Err("gone".to_owned());
    second.keep_from(first.clone());
    assert_eq!(second.names, first.names);
    assert_eq!(second.mappings, first.mappings);
}

#[tokio::test(start_paused = true)]
async fn a_changed_address_reaches_new_answers() {
    let media = Arc::new(media(None, &["localhost"]));
    let listening = Listening {
        udp: "127.0.0.1:9".parse().unwrap(),
        tcp: None,
    };
    // As if the name had stood for another address before.
    let mut first = Search::from_media_port(&media).run().await;
    let before = vec!["203.0.113.9".parse().unwrap()];
    first.names.insert("localhost".to_owned(), Ok(before));
    let announcement = Announcement::new(&media, &first, listening);
    let (sender, mut candidates) = watch::channel(Candidates::from(announcement));
    let task = tokio::spawn(keep_current(media, listening, first, sender));
    candidates.changed().await.unwrap();
    let now = candidates.borrow().all();
    assert_eq!(now[0].address.to_string(), "127.0.0.1:9");
    task.abort();
}
