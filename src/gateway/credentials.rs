//! What is drawn at random for a session: ICE credentials, entity tags, SSRCs.

use rand::RngExt as _;

use crate::sdp::IceCredentials;
use crate::shard::{ICE_CHARS, ShardId};

/// Credentials whose fragment names the shard; 42 and 144 random bits, more than RFC 8445, section 5.3, asks for.
pub(super) fn new_credentials(shard: ShardId) -> IceCredentials {
    let mut ufrag = String::from(shard.mark());
    ufrag.push_str(&ice_chars(7));
    IceCredentials {
        ufrag,
        pwd: ice_chars(24),
    }
}

fn ice_chars(count: usize) -> String {
    let mut rng = rand::rng();
    (0..count)
        .map(|_| char::from(ICE_CHARS[rng.random_range(0..ICE_CHARS.len())]))
        .collect()
}

pub(super) fn new_etag() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// Each value once: two sources of a session with one SSRC would share the nonces of one key.
pub(super) fn distinct(mut next: impl FnMut() -> u32) -> impl FnMut() -> u32 {
    let mut used = Vec::new();
    move || loop {
        let ssrc = next();
        if !used.contains(&ssrc) {
            used.push(ssrc);
            return ssrc;
        }
    }
}

/// Not 0, which some receivers take for "none".
pub(super) fn new_ssrc() -> u32 {
    rand::random::<u32>().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_source_of_a_session_has_the_ssrc_of_another() {
        let mut drawn = [7, 7, 8, 7, 8, 9].into_iter();
        let mut next = distinct(move || drawn.next().unwrap());
        assert_eq!([next(), next(), next()], [7, 8, 9]);
    }

    #[test]
    fn credentials_name_their_shard_and_are_long_enough() {
        let ice = new_credentials(ShardId(3));
        assert!(ice.ufrag.starts_with(ShardId(3).mark()));
        assert_eq!((ice.ufrag.len(), ice.pwd.len()), (8, 24));
    }
}
