//! How long caches may keep what (rfc8216bis, appendix B.1), and what a client has already.

use axum::http::{HeaderMap, HeaderValue, header};

/// Whether caches that many clients share may keep it.
pub(super) struct Caching {
    pub(super) public: bool,
}

/// What is to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A playlist as it is now.
    Playlist,
    /// A playlist that was asked for with a part: its URL is asked for once.
    Blocking,
    /// An init segment or a whole segment: its name is never used again.
    Segment,
    /// A part: the same, but nobody wants it for long.
    Part,
}

impl Caching {
    /// The value of `Cache-Control`.
    pub(super) fn control(&self, kind: Kind, target_duration: u64) -> HeaderValue {
        let seconds = match kind {
            Kind::Playlist => target_duration / 2,
            Kind::Blocking | Kind::Part => 6 * target_duration,
            Kind::Segment => SEGMENT,
        };
        if seconds == 0 {
            return NO_CACHE;
        }
        let scope = if self.public { "public" } else { "private" };
        HeaderValue::try_from(format!("{scope}, max-age={seconds}")).unwrap_or(NO_CACHE)
    }
}

/// Whether the client takes gzip (RFC 9110, section 12.5.3).
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        let refused = weight.is_some_and(|weight| weight.parse::<f32>().unwrap_or(0.0) <= 0.0);
        name.eq_ignore_ascii_case("gzip") && !refused
    })
}

const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// Seconds.
const SEGMENT: u64 = 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_kept_for_as_long_as_it_is_of_use() {
        let public = Caching { public: true };
        let control = |kind, target| public.control(kind, target);
        assert_eq!(control(Kind::Playlist, 2), "public, max-age=1");
        assert_eq!(control(Kind::Playlist, 1), "no-cache");
        assert_eq!(control(Kind::Blocking, 2), "public, max-age=12");
        assert_eq!(control(Kind::Part, 2), "public, max-age=12");
        let private = Caching { public: false };
        assert_eq!(private.control(Kind::Segment, 2), "private, max-age=3600");
    }

    #[test]
    fn gzip_is_for_who_takes_it() {
        for (value, expected) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("deflate", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, value.parse().unwrap())]);
            assert_eq!(takes_gzip(&headers), expected, "{value}");
        }
    }
}
