//! The rungs of a transcoding ladder, from what is written to what is meant. Pure.

use toml::Value;

use super::Error;
use super::value::invalid;

/// One rung: a smaller picture made of the publisher's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Pixels of the shorter side, which is the height of a picture that does not stand upright; even.
    pub height: u16,
    /// Bits a second of the picture.
    pub bitrate: u32,
}

/// Rungs at most: with the publisher's own picture as many as a simulcast may have layers.
const MOST_RUNGS: usize = 3;
/// The pictures and rates that encoders take, and that are worth it.
const HEIGHTS: std::ops::RangeInclusive<u16> = 90..=2160;
const BITRATES: std::ops::RangeInclusive<u32> = 50_000..=50_000_000;

const ALLOWED: &str = "at most 3 rungs of different heights, such as [{ height = 720, bitrate = \"1500k\" }] or \
    \"720:1500k,360:600k\"; a height is even and from 90 to 2160, a bitrate in bits a second from \"50k\" to \"50M\"";

/// The rungs, highest first: a list of tables, or text as the environment has it.
pub(super) fn ladder(
    key: &str,
    value: Option<Value>,
    default: &[Rung],
) -> Result<Vec<Rung>, Error> {
    let Some(value) = value else {
        return Ok(default.to_vec());
    };
    let rungs = match &value {
        Value::Array(tables) => tables.iter().map(of_table).collect(),
        Value::String(text) => text
            .split(',')
            .map(str::trim)
            .filter(|rung| !rung.is_empty())
            .map(of_text)
            .collect(),
        _ => None,
    };
    let rungs: Option<Vec<Rung>> = rungs.map(|mut rungs: Vec<Rung>| {
        rungs.sort_by_key(|rung| std::cmp::Reverse(rung.height));
        rungs
    });
    let differ = |rungs: &Vec<Rung>| {
        rungs.len() <= MOST_RUNGS
            && rungs
                .windows(2)
                .all(|pair| pair[0].height != pair[1].height)
    };
    rungs
        .filter(differ)
        .ok_or_else(|| invalid(key, &value, ALLOWED))
}

/// As [`ladder`] reads it.
pub(super) fn printed(rungs: &[Rung]) -> Value {
    let table = |rung: &Rung| {
        let height = Value::Integer(rung.height.into());
        let bitrate = Value::String(bits(rung.bitrate));
        Value::Table(
            [
                ("height".to_owned(), height),
                ("bitrate".to_owned(), bitrate),
            ]
            .into_iter()
            .collect(),
        )
    };
    Value::Array(rungs.iter().map(table).collect())
}

fn of_table(value: &Value) -> Option<Rung> {
    let table = value.as_table().filter(|table| table.len() == 2)?;
    let bitrate = match table.get("bitrate")? {
        Value::Integer(bits) => u32::try_from(*bits).ok()?,
        Value::String(text) => parse_bits(text)?,
        _ => return None,
    };
    rung(
        u16::try_from(table.get("height")?.as_integer()?).ok()?,
        bitrate,
    )
}

fn of_text(text: &str) -> Option<Rung> {
    let (height, bitrate) = text.split_once(':')?;
    rung(height.parse().ok()?, parse_bits(bitrate)?)
}

fn rung(height: u16, bitrate: u32) -> Option<Rung> {
    let good = HEIGHTS.contains(&height) && height.is_multiple_of(2) && BITRATES.contains(&bitrate);
    good.then_some(Rung { height, bitrate })
}

/// Bits a second: a whole number, in thousands with `k`, in millions with `M`.
fn parse_bits(text: &str) -> Option<u32> {
    let (number, unit) = match text.strip_suffix('k') {
        Some(number) => (number, 1_000),
        None => text
            .strip_suffix('M')
            .map_or((text, 1), |number| (number, 1_000_000)),
    };
    number.parse::<u32>().ok()?.checked_mul(unit)
}

fn bits(bitrate: u32) -> String {
    match bitrate {
        whole if whole % 1_000_000 == 0 => format!("{}M", whole / 1_000_000),
        whole if whole % 1_000 == 0 => format!("{}k", whole / 1_000),
        odd => odd.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Rung>, Error> {
        let table: toml::Table = toml::from_str(text).unwrap();
        ladder("hls.ladder", table.get("ladder").cloned(), &[])
    }

    #[test]
    fn tables_and_text_say_the_same() {
        let rungs =
            [(720, 1_500_000), (360, 600_001)].map(|(height, bitrate)| Rung { height, bitrate });
        let table =
            "ladder = [{ height = 360, bitrate = 600001 }, { height = 720, bitrate = \"1500k\" }]";
        assert_eq!(read(table).unwrap(), rungs);
        assert_eq!(read("ladder = \"720:1500k, 360:600001\"").unwrap(), rungs);
        assert_eq!(read("ladder = []").unwrap(), []);
        assert_eq!(ladder("x", Some(printed(&rungs)), &[]).unwrap(), rungs);
        assert_eq!(ladder("x", None, &rungs).unwrap(), rungs);
    }

    #[test]
    fn what_is_no_ladder_is_refused_with_what_is_one() {
        for written in [
            "7",
            "\"720\"",
            "[{ height = 720 }]",
            "[{ height = 720, bitrate = \"1500k\", codec = \"H264\" }]",
            "[{ height = 721, bitrate = \"1500k\" }]",
            "[{ height = 88, bitrate = \"1500k\" }]",
            "[{ height = 720, bitrate = \"1500\" }]",
            "[{ height = 720, bitrate = \"9999999M\" }]",
            "\"720:1500k,720:1M\"",
            "\"720:1500k,480:1M,360:500k,240:200k\"",
        ] {
            let error = read(&format!("ladder = {written}"))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("`hls.ladder`") && error.contains("at most 3 rungs"),
                "{error}"
            );
        }
    }
}
