//! Values of flags: bit rates, sizes and durations.

use std::time::Duration;

/// A size in pixels; both even, as the chroma planes of I420 are half as large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) width: u32,
    pub(super) height: u32,
}

/// `2500k`, `4M` or plain bits per second.
pub(super) fn bit_rate(text: &str) -> Result<u32, String> {
    let (number, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1e3),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1e6),
        _ => (text, 1.0),
    };
    let bits = number
        .parse::<f64>()
        .map_or(f64::NAN, |number| number * factor);
    if (10_000.0..=100_000_000.0).contains(&bits) {
        Ok(bits as u32)
    } else {
        Err("give bits per second between 10k and 100M, such as 2500k".to_owned())
    }
}

/// `1280x720`.
pub(super) fn size(text: &str) -> Result<Size, String> {
    let side = |text: &str| {
        text.parse::<u32>()
            .ok()
            .filter(|side| (16..=7680).contains(side) && side % 2 == 0)
    };
    text.split_once('x')
        .and_then(|(width, height)| {
            Some(Size {
                width: side(width)?,
                height: side(height)?,
            })
        })
        .ok_or_else(|| "give even numbers of pixels from 16 to 7680, such as 1280x720".to_owned())
}

/// `500ms`, `30s`, `5m`, `2h` or plain seconds; more than nothing and at most a year.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let (number, factor) = units
        .into_iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))
        .unwrap_or((text, 1.0));
    let seconds = number
        .trim()
        .parse::<f64>()
        .map_or(f64::NAN, |number| number * factor);
    if (0.001..=31_536_000.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("give a time such as 30s, 500ms, 5m or 2h".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bit_rates_have_units() {
        assert_eq!(bit_rate("2500k"), Ok(2_500_000));
        assert_eq!(bit_rate("1.5M"), Ok(1_500_000));
        assert_eq!(bit_rate("300000"), Ok(300_000));
        for wrong in ["", "k", "fast", "5", "-1M", "1G", "NaN", "inf"] {
            assert!(bit_rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_even() {
        assert_eq!(
            size("640x360"),
            Ok(Size {
                width: 640,
                height: 360
            })
        );
        for wrong in [
            "",
            "x",
            "640",
            "641x360",
            "0x0",
            "640x360x2",
            "-2x4",
            "99999x2",
        ] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for wrong in ["", "s", "0s", "-1s", "NaN", "1e300h", "5 fortnights"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
