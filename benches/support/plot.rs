//! Plots of figures: one SVG, one curve a series, without a library, as a few lines and labels are all.

use std::fmt::Write as _;
use std::path::Path;

/// Points of one kind.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) color: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 56.0;
const BOTTOM: f64 = 44.0;
const TOP: f64 = 34.0;
const RIGHT: f64 = 16.0;

/// Writes `file`: `series` over axes that begin at zero.
pub(crate) fn save(file: &Path, title: &str, (x, y): (&str, &str), series: &[Series]) {
    let points = || series.iter().flat_map(|series| &series.points);
    let widest = step(points().map(|(x, _)| *x).fold(0.0, f64::max));
    let highest = step(points().map(|(_, y)| *y).fold(0.0, f64::max));
    let place = |(x, y): (f64, f64)| {
        (
            LEFT + (WIDTH - LEFT - RIGHT) * x / widest.1,
            HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * y / highest.1,
        )
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" font-size=\"14\">{title}</text>\n"
    );
    let mut line = |from: (f64, f64), to: (f64, f64), color: &str| {
        let ((x1, y1), (x2, y2)) = (place(from), place(to));
        writeln!(
            svg,
            "<path d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\" stroke=\"{color}\" fill=\"none\"/>"
        )
        .unwrap();
    };
    for tick in ticks(highest) {
        line((0.0, tick), (widest.1, tick), "#ddd");
    }
    line((0.0, 0.0), (widest.1, 0.0), "#555");
    line((0.0, 0.0), (0.0, highest.1), "#555");
    let mut text = |(x, y): (f64, f64), anchor: &str, text: &str| {
        writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#333\">{text}</text>"
        )
        .unwrap();
    };
    for tick in ticks(widest) {
        let (at, bottom) = place((tick, 0.0));
        text((at, bottom + 16.0), "middle", &tick.to_string());
    }
    for tick in ticks(highest) {
        let (left, at) = place((0.0, tick));
        text((left - 6.0, at + 4.0), "end", &tick.to_string());
    }
    text((WIDTH - RIGHT, HEIGHT - 8.0), "end", x);
    text((LEFT, TOP - 2.0), "start", y);
    for (
        number,
        Series {
            name,
            color,
            points,
        },
    ) in (0u8..).zip(series)
    {
        let mut path = String::new();
        for (index, point) in points.iter().enumerate() {
            let (x, y) = place(*point);
            let command = if index == 0 { 'M' } else { 'L' };
            write!(path, "{command}{x:.1} {y:.1}").unwrap();
            writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>"
            )
            .unwrap();
        }
        writeln!(
            svg,
            "<path d=\"{path}\" stroke=\"{color}\" stroke-width=\"2\" fill=\"none\"/>"
        )
        .unwrap();
        let y = HEIGHT - BOTTOM - 12.0 - 16.0 * f64::from(number);
        writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"end\" fill=\"{color}\">{name}</text>",
            WIDTH - RIGHT - 8.0
        )
        .unwrap();
    }
    svg.push_str("</svg>\n");
    std::fs::write(file, svg).unwrap();
}

/// The distance of ticks, and the end of an axis that holds `most`.
fn step(most: f64) -> (f64, f64) {
    let magnitude = 10f64.powf((most / 5.0).log10().floor());
    let fits = |factor: &&f64| **factor * magnitude * 6.0 >= most;
    let factor = [1.0, 2.0, 5.0, 10.0].iter().find(fits).unwrap_or(&10.0);
    let step = factor * magnitude;
    (step, (most / step).ceil().max(1.0) * step)
}

fn ticks((step, end): (f64, f64)) -> impl Iterator<Item = f64> {
    let count = (end / step).round() as u32;
    // Free of the dust that sums of fractions leave.
    (0..=count).map(move |tick| (f64::from(tick) * step * 1e6).round() / 1e6)
}
