//! Medians, and where the figures go.

use std::path::PathBuf;

/// The middle one; of an even count, the upper of the two.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value that the share `of` of all values does not exceed.
pub(crate) fn quantile(values: &[f64], of: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (sorted.len() as f64 * of) as usize;
    sorted
        .get(index.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

/// How far the middle half of the values reaches, in percent of their median: the noise.
pub(crate) fn spread(values: &[f64]) -> f64 {
    100.0 * (quantile(values, 0.75) - quantile(values, 0.25)) / median(values)
}

/// Writes `figures` to `target/bench/NAME.json`.
pub(crate) fn save(name: &str, figures: &serde_json::Value) {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"),
        PathBuf::from,
    );
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{name}.json"));
    std::fs::write(&file, format!("{figures:#}\n")).unwrap();
    println!("\nwritten to {}", file.display());
}
