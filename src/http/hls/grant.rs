//! A right that stands in the path: `/hls/{stream}/s~{expires}~{signature}/index.m3u8`, or a token as
//! `t~{token}`.
//!
//! Playlists name their files relative to themselves, so players keep what stands in the path: it needs no
//! header, which a browser would ask about before each request, and no cookie. A signature is one that a
//! CDN can check by itself: the HMAC-SHA256 of `{stream}:{expires}`, in base64url without padding.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::config::Secret;
use crate::stream::StreamName;

/// What the path of a file begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Grant<'a> {
    /// Good until a time, in seconds since 1970.
    Signed {
        expires: &'a str,
        signature: &'a str,
    },
    /// A token of the configuration.
    Token(&'a str),
}

/// Takes the grant off the path of a file.
pub(super) fn split(path: &str) -> (Option<Grant<'_>>, &str) {
    // A token may hold slashes; no file of ours does.
    let Some((grant, file)) = path.rsplit_once('/') else {
        return (None, path);
    };
    let grant = match grant.split_once('~') {
        Some(("s", rest)) => rest
            .split_once('~')
            .map(|(expires, signature)| Grant::Signed { expires, signature }),
        Some(("t", token)) => Some(Grant::Token(token)),
        _ => None,
    };
    match grant {
        Some(grant) => (Some(grant), file),
        None => (None, path),
    }
}

/// Whether a signature is ours, and its time not over.
pub(super) fn is_good(
    secret: &Secret,
    stream: &StreamName,
    expires: &str,
    signature: &str,
    now: SystemTime,
) -> bool {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let in_time = expires.parse::<u64>().is_ok_and(|expires| now < expires);
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else {
        return false;
    };
    // HMAC takes keys of every length (RFC 2104, section 2), and compares in constant time.
    let mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes());
    let verified = mac.is_ok_and(|mac| {
        let mac = mac.chain_update(format!("{stream}:{expires}"));
        mac.verify_slice(&signature).is_ok()
    });
    in_time && verified
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_grant_is_told_from_a_file() {
        assert_eq!(split("index.m3u8"), (None, "index.m3u8"));
        assert_eq!(split("a/b.m3u8"), (None, "a/b.m3u8"));
        assert_eq!(
            split("t~a/b=/v.m3u8"),
            (Some(Grant::Token("a/b=")), "v.m3u8")
        );
        let (expires, signature) = ("17", "ab_c");
        let grant = Grant::Signed { expires, signature };
        assert_eq!(split("s~17~ab_c/v.m3u8"), (Some(grant), "v.m3u8"));
        assert_eq!(split("s~17/v.m3u8"), (None, "s~17/v.m3u8"));
    }

    /// printf 'demo:2000000000' | openssl dgst -sha256 -hmac change-me -binary | basenc --base64url
    #[test]
    fn a_signature_is_good_for_its_stream_until_its_time() {
        let (secret, stream) = (Secret::new("change-me"), "demo".parse().unwrap());
        let signature = "-F1rbEwv6RzWmcHFxFq7oN5mcI06iPr4wnimiS4Db8A";
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let good = |stream: &StreamName, expires: &str, signature: &str, now| {
            is_good(&secret, stream, expires, signature, at(now))
        };
        assert!(good(&stream, "2000000000", signature, 1_999_999_999));
        assert!(!good(&stream, "2000000000", signature, 2_000_000_000));
        assert!(!good(&stream, "2000000001", signature, 1_999_999_999));
        assert!(!good(&"other".parse().unwrap(), "2000000000", signature, 0));
        for bad in ["", "AAAA", "not base64!"] {
            assert!(!good(&stream, "2000000000", bad, 0), "{bad}");
        }
    }
}
