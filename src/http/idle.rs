//! Which connections have no request in flight, and since when.
//!
//! One that stays so is ended: hyper sees to that over HTTP/1, but over HTTP/2 a connection lives for as long as its client
//! answers pings. And where there are too many, the one that has been so for the longest makes room for somebody new.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::Version;
use axum::response::Response;
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::holdings::Held;

/// The connections without a request in flight.
#[derive(Clone, Debug, Default)]
pub(super) struct IdleConnections {
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// By the time they became idle.
    by_age: BTreeMap<u64, Ticket>,
}

/// What a connection counts by. When it is dropped the connection is told to end.
#[derive(Debug)]
struct Ticket {
    _held: Held,
    _told: oneshot::Sender<()>,
}

impl IdleConnections {
    /// Takes a connection in, which has asked for nothing yet.
    pub(super) fn enter(&self, held: Held) -> Admitted {
        let (told, ended) = oneshot::channel();
        let age = self.insert(Ticket {
            _held: held,
            _told: told,
        });
        let state = State {
            in_flight: 0,
            since: Instant::now(),
            version: None,
            place: Place::Idle(age),
        };
        Admitted {
            activity: Activity {
                connections: self.clone(),
                state: Arc::new(Mutex::new(state)),
            },
            ended,
        }
    }

    /// Ends the connection that has been idle for the longest; it counts no more. Whether there was one.
    pub(super) fn end_longest(&self) -> bool {
        let longest = self.lock().by_age.pop_first();
        longest.is_some()
    }

    fn insert(&self, ticket: Ticket) -> u64 {
        let mut table = self.lock();
        let age = table.next;
        table.next += 1;
        table.by_age.insert(age, ticket);
        age
    }

    fn remove(&self, age: u64) -> Option<Ticket> {
        self.lock().by_age.remove(&age)
    }

    /// Nothing panics while it is locked.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that counts until this is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) activity: Activity,
    /// Ends when the connection is to make room.
    pub(super) ended: oneshot::Receiver<()>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let Activity { connections, state } = &self.activity;
        let mut state = lock(state);
        if let Place::Idle(age) = mem::replace(&mut state.place, Place::Gone) {
            connections.remove(age);
        }
    }
}

/// What happens on one connection.
#[derive(Clone, Debug)]
pub(super) struct Activity {
    connections: IdleConnections,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    in_flight: usize,
    /// When the last one ended.
    since: Instant,
    /// That of the last request.
    version: Option<Version>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// In the table, under this age.
    Idle(u64),
    Busy(Ticket),
    /// It has ended or is to end.
    Gone,
}

impl Activity {
    /// A request has come.
    pub(super) fn begin(&self, version: Version) -> InFlight {
        let mut state = lock(&self.state);
        state.in_flight += 1;
        state.version = Some(version);
        if let Place::Idle(age) = state.place {
            // It may have been told to end just now.
            let ticket = self.connections.remove(age);
            state.place = ticket.map_or(Place::Gone, Place::Busy);
        }
        InFlight(self.clone())
    }

    fn end(&self) {
        let mut state = lock(&self.state);
        state.in_flight -= 1;
        if state.in_flight > 0 {
            return;
        }
        state.since = Instant::now();
        state.place = match mem::replace(&mut state.place, Place::Gone) {
            Place::Busy(ticket) => Place::Idle(self.connections.insert(ticket)),
            other => other,
        };
    }

    /// Whether there has been a request.
    pub(super) fn has_asked(&self) -> bool {
        lock(&self.state).version.is_some()
    }

    /// Whether the last request came over HTTP/1.1, or before.
    pub(super) fn is_http1(&self) -> bool {
        let version = lock(&self.state).version;
        version.is_some_and(|version| version != Version::HTTP_2)
    }

    /// Ends when there has been no request in flight over HTTP/2 for `limit`.
    pub(super) async fn idle(&self, limit: Duration) {
        loop {
            let left = {
                let state = lock(&self.state);
                match (state.in_flight, state.version) {
                    (0, Some(Version::HTTP_2)) => limit.saturating_sub(state.since.elapsed()),
                    _ => limit,
                }
            };
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request that is in flight until this is dropped.
#[derive(Debug)]
pub(super) struct InFlight(Activity);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl InFlight {
    /// The same answer; the request is in flight until hyper has all of it.
    pub(super) fn until_taken(self, response: Response) -> Response {
        // The body goes when hyper has come to its end, and what it holds goes with it.
        let hold = move |error| {
            let _in_flight = &self;
            error
        };
        response.map(|body| Body::new(body.map_err(hold)))
    }
}

/// For tests elsewhere: a request of a connection that has gone.
#[cfg(test)]
pub(super) fn in_flight() -> InFlight {
    let held = super::holdings::Holdings::default().take(None, super::ConnectionLimits::UNLIMITED);
    let admitted = IdleConnections::default().enter(held.expect("no limit"));
    admitted.activity.begin(Version::HTTP_2)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::body::Body as _;
    use tokio::time::{advance, timeout};

    use super::*;
    use crate::http::ConnectionLimits;
    use crate::http::holdings::Holdings;

    const LIMIT: Duration = Duration::from_secs(20);

    fn enter(connections: &IdleConnections, holdings: &Holdings) -> Admitted {
        let held = holdings.take(None, ConnectionLimits::UNLIMITED);
        connections.enter(held.unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn only_http_2_is_ended_and_only_without_a_request_in_flight() {
        for (version, in_flight, expected) in [
            (None, false, false),
            (Some(Version::HTTP_11), false, false),
            (Some(Version::HTTP_2), true, false),
            (Some(Version::HTTP_2), false, true),
        ] {
            let admitted = enter(&IdleConnections::default(), &Holdings::default());
            let request = version.map(|version| admitted.activity.begin(version));
            let request = request.filter(|_| in_flight);
            let idle = timeout(LIMIT * 3, admitted.activity.idle(LIMIT)).await;
            assert_eq!(idle.is_ok(), expected, "{version:?} {in_flight}");
            drop(request);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_counts_from_the_end_of_the_last_request() {
        let admitted = enter(&IdleConnections::default(), &Holdings::default());
        let activity = &admitted.activity;
        let requests = [(); 2].map(|()| activity.begin(Version::HTTP_2));
        for request in requests {
            advance(LIMIT).await;
            drop(request);
        }
        let start = Instant::now();
        activity.idle(LIMIT).await;
        let took = start.elapsed();
        assert!(
            (LIMIT..LIMIT + Duration::from_millis(10)).contains(&took),
            "{took:?}"
        );
    }

    /// The answer itself is what a request is in flight for.
    #[tokio::test]
    async fn a_request_is_in_flight_until_its_answer_is_taken() {
        let admitted = enter(&IdleConnections::default(), &Holdings::default());
        let in_flight = || lock(&admitted.activity.state).in_flight;
        let request = admitted.activity.begin(Version::HTTP_11);
        let answer = request.until_taken(Response::new("ok".into()));
        assert_eq!(in_flight(), 1);
        let length = answer.body().size_hint().exact();
        assert_eq!(length, Some(2), "for Content-Length");
        let body = axum::body::to_bytes(answer.into_body(), 10).await;
        assert_eq!((body.unwrap(), in_flight()), (Bytes::from_static(b"ok"), 0));
    }

    #[test]
    fn the_longest_idle_one_makes_room() {
        let (connections, holdings) = (IdleConnections::default(), Holdings::default());
        let [mut first, mut busy, mut third, gone] =
            [(); 4].map(|()| enter(&connections, &holdings));
        drop(first.activity.begin(Version::HTTP_2));
        let request = busy.activity.begin(Version::HTTP_11);
        drop(gone);
        let ended = |admitted: &mut Admitted| {
            let told = admitted.ended.try_recv();
            told == Err(oneshot::error::TryRecvError::Closed)
        };
        for expected in [[false, false, true], [true, false, true]] {
            assert!(connections.end_longest());
            let all = [&mut first, &mut busy, &mut third];
            assert_eq!(all.map(ended), expected);
        }
        assert!(!connections.end_longest(), "nobody who is being answered");
        // A request that came just then brings nobody back.
        drop(first.activity.begin(Version::HTTP_2));
        assert!(!connections.end_longest());
        drop((request, first, busy, third));
        assert!(connections.lock().by_age.is_empty());
        let one = ConnectionLimits {
            in_all: 1,
            of_address: 1,
        };
        assert!(
            holdings.take(None, one).is_ok(),
            "nothing is counted any more"
        );
    }
}
