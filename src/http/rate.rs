//! How often one client may ask: a rate for each address and each token, in bounded memory.
//!
//! The rule is the generic cell rate algorithm of `governor`: a burst, then so many a second. What is
//! kept of a key is one number, and of the keys the newest, so that a flood from many addresses makes
//! the server forget some rather than grow.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};

use super::auth::Presented;
use crate::gateway::Client;
use crate::network;

/// Keys that are remembered for each rate. 32 bytes each, about 2 MiB in all.
const MAX_KEYS: usize = 65_536;

/// So many requests, and the setting that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second, in the long run. 0: as many as wanted.
    pub per_second: u32,
    /// Requests at once, after a while without any.
    pub burst: u32,
}

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self {
        per_second: 0,
        burst: 1,
    };
}

/// A client asked more often than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    /// The setting that says how often it may.
    pub(super) setting: &'static str,
    pub(super) per_second: u32,
    pub(super) wait: Duration,
}

/// The rates of all clients.
pub(super) struct Limiter<C: Clock = MonotonicClock> {
    addresses: Option<Keyed<IpAddr, C>>,
    tokens: Option<Keyed<u64, C>>,
    /// Tokens are remembered by a hash that nobody outside can compute.
    hasher: RandomState,
    clock: C,
}

impl Limiter {
    pub(super) fn new(address: Rate, token: Rate) -> Self {
        Self::with_clock(address, token, &MonotonicClock)
    }
}

impl<C: Clock + Clone> Limiter<C> {
    fn with_clock(address: Rate, token: Rate, clock: &C) -> Self {
        Self {
            addresses: Keyed::new(address, "limits.address_requests_per_second", clock),
            tokens: Keyed::new(token, "limits.token_requests_per_second", clock),
            hasher: RandomState::new(),
            clock: clock.clone(),
        }
    }

    /// Counts one request.
    pub(super) fn check(&self, client: Client, presented: &Presented) -> Result<(), TooMany> {
        let now = self.clock.now();
        // This machine's own programs may as often as they like.
        if let (Some(addresses), false) = (&self.addresses, client.is_here) {
            addresses.check(&network::holder(client.address), now)?;
        }
        if let (Some(tokens), Presented::Token(token)) = (&self.tokens, presented) {
            tokens.check(&self.hasher.hash_one(token.as_bytes()), now)?;
        }
        Ok(())
    }
}

impl<C: Clock> fmt::Debug for Limiter<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Limiter")
    }
}

/// One rate for each key.
struct Keyed<K: Eq + Hash + Clone, C: Clock> {
    limiter: RateLimiter<K, Newest<K>, C, NoOpMiddleware<C::Instant>>,
    setting: &'static str,
    per_second: u32,
}

impl<K: Eq + Hash + Clone, C: Clock + Clone> Keyed<K, C> {
    fn new(rate: Rate, setting: &'static str, clock: &C) -> Option<Self> {
        let per_second = NonZeroU32::new(rate.per_second)?;
        let burst = NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(per_second).allow_burst(burst);
        let keys = Newest::new(MAX_KEYS);
        Some(Self {
            limiter: RateLimiter::new(quota, keys, clock.clone()),
            setting,
            per_second: rate.per_second,
        })
    }

    fn check(&self, key: &K, now: C::Instant) -> Result<(), TooMany> {
        self.limiter.check_key(key).map_err(|not_until| TooMany {
            setting: self.setting,
            per_second: self.per_second,
            wait: not_until.wait_time_from(now),
        })
    }
}

/// The states of the keys that were used last. When the young generation is full it becomes the old
/// one, and what was old is forgotten: no clock, no list, two look-ups.
struct Newest<K> {
    half: usize,
    generations: Mutex<Generations<K>>,
}

struct Generations<K> {
    young: HashMap<K, Nanos>,
    old: HashMap<K, Nanos>,
}

impl<K: Eq + Hash> Newest<K> {
    fn new(max: usize) -> Self {
        Self {
            half: max / 2,
            generations: Mutex::new(Generations {
                young: HashMap::new(),
                old: HashMap::new(),
            }),
        }
    }
}

impl<K: Eq + Hash + Clone> StateStore for Newest<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // A number for each key is never half written, so a panic elsewhere spoils nothing.
        let mut generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Generations { young, old } = &mut *generations;
        let known = young.get(key).or_else(|| old.get(key)).copied();
        let (result, state) = decide(known)?;
        if let Some(place) = young.get_mut(key) {
            *place = state;
            return Ok(result);
        }
        if young.len() >= self.half {
            *old = std::mem::take(young);
        }
        young.insert(key.clone(), state);
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    const TWO_A_SECOND: Rate = Rate {
        per_second: 2,
        burst: 3,
    };

    fn address(text: &str) -> Client {
        let address: IpAddr = text.parse().unwrap();
        Client {
            address,
            is_here: address.to_canonical().is_loopback(),
        }
    }

    #[test]
    fn after_a_burst_a_client_waits_for_its_turn() {
        let clock = FakeRelativeClock::default();
        let limiter = Limiter::with_clock(TWO_A_SECOND, Rate::UNLIMITED, &clock);
        let ask = || limiter.check(address("192.0.2.1"), &Presented::Nothing);
        for _ in 0..3 {
            assert_eq!(ask(), Ok(()));
        }
        let too_many = ask().unwrap_err();
        assert_eq!(too_many.wait, Duration::from_millis(500));
        assert_eq!(too_many.setting, "limits.address_requests_per_second");
        clock.advance(Duration::from_millis(500));
        assert_eq!(ask(), Ok(()));
        assert!(ask().is_err());
        let other = |text| limiter.check(address(text), &Presented::Nothing);
        assert_eq!(other("192.0.2.2"), Ok(()));
        for _ in 0..9 {
            assert_eq!(other("127.0.0.1"), Ok(()));
            assert_eq!(other("::ffff:127.0.0.1"), Ok(()));
        }
        let named = Client {
            is_here: false,
            ..address("127.0.0.1")
        };
        let asked = [(); 4].map(|()| limiter.check(named, &Presented::Nothing).is_ok());
        assert_eq!(asked, [true, true, true, false]);
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_client() {
        let clock = FakeRelativeClock::default();
        let one = Rate {
            per_second: 1,
            burst: 1,
        };
        let limiter = Limiter::with_clock(one, Rate::UNLIMITED, &clock);
        let ask = |text| limiter.check(address(text), &Presented::Nothing).is_ok();
        assert!(ask("2001:db8::1"));
        assert!(!ask("2001:db8::ffff:2"));
        assert!(ask("2001:db8:0:1::1"));
        assert!(ask("192.0.2.1"));
        assert!(!ask("::ffff:192.0.2.1"));
    }

    #[test]
    fn a_token_has_its_own_rate_from_all_addresses_together() {
        let clock = FakeRelativeClock::default();
        let limiter = Limiter::with_clock(Rate::UNLIMITED, TWO_A_SECOND, &clock);
        let token = |text: &str| Presented::Token(Box::new(text.parse().unwrap()));
        let ask = |from, presented| limiter.check(address(from), &presented).is_ok();
        assert!(ask("192.0.2.1", token("one")));
        assert!(ask("192.0.2.2", token("one")));
        assert!(ask("192.0.2.3", token("one")));
        assert!(!ask("192.0.2.4", token("one")));
        assert!(ask("192.0.2.4", token("other")));
        assert!(ask("192.0.2.4", Presented::Nothing));
    }

    #[test]
    fn memory_has_a_bound_and_the_newest_stay() {
        let keys = Newest::new(8);
        let count = |key: u32| -> u64 {
            keys.measure_and_replace(&key, |known| {
                let next = known.map_or(0, Nanos::as_u64) + 1;
                Ok::<_, ()>((next, Nanos::from(next)))
            })
            .unwrap()
        };
        for key in 0..1_000 {
            assert_eq!(count(key), 1);
            let generations = keys.generations.lock().unwrap();
            assert!(generations.young.len() + generations.old.len() <= 8);
        }
        assert_eq!((count(999), count(998)), (2, 2));
        assert_eq!(count(0), 1, "long forgotten");
    }
}
