//! The delivery directives in the query of a playlist request (rfc8216bis, section 6.2.5).

use axum::http::Uri;

use crate::egress::hls::Directives;

/// Reads `_HLS_msn`, `_HLS_part` and `_HLS_skip`; other parameters are somebody else's.
///
/// # Errors
///
/// What is wrong with them, for the client.
pub(super) fn of(uri: &Uri) -> Result<Directives, &'static str> {
    let mut directives = Directives::default();
    let pairs = uri.query().unwrap_or_default().split('&');
    for (name, value) in pairs.filter_map(|pair| pair.split_once('=')) {
        match name {
            "_HLS_msn" => directives.segment = Some(number(value)?),
            "_HLS_part" => {
                let part = usize::try_from(number(value)?);
                directives.part = Some(part.map_err(|_| NO_NUMBER)?);
            }
            // `v2` allows to leave out date ranges too, of which there are none.
            "_HLS_skip" => directives.skip = matches!(value, "YES" | "v2"),
            _ => {}
        }
    }
    if directives.part.is_some() && directives.segment.is_none() {
        return Err("_HLS_part needs _HLS_msn: it is a part of that segment");
    }
    Ok(directives)
}

const NO_NUMBER: &str = "_HLS_msn and _HLS_part must be decimal numbers";

fn number(text: &str) -> Result<u64, &'static str> {
    let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(NO_NUMBER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Directives, &'static str> {
        of(&format!("/hls/demo/video.m3u8{query}").parse().unwrap())
    }

    #[test]
    fn directives_are_read_and_nonsense_is_refused() {
        let wanted = |segment, part, skip| Directives {
            segment,
            part,
            skip,
        };
        assert_eq!(read(""), Ok(Directives::default()));
        assert_eq!(
            read("?token=x&_HLS_msn=7"),
            Ok(wanted(Some(7), None, false))
        );
        assert_eq!(
            read("?_HLS_msn=7&_HLS_part=2&_HLS_skip=YES"),
            Ok(wanted(Some(7), Some(2), true))
        );
        assert_eq!(read("?_HLS_skip=v2"), Ok(wanted(None, None, true)));
        for bad in [
            "?_HLS_part=1",
            "?_HLS_msn=abc",
            "?_HLS_msn=",
            "?_HLS_msn=-1",
            "?_HLS_msn=+1",
            "?_HLS_msn=99999999999999999999999",
            "?_HLS_msn=1&_HLS_part=x",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
