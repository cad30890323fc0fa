//! The time of day and the frame's number, drawn on the test picture.
//!
//! Two pictures side by side, or one photograph of two screens, show the delay between them; a
//! number that is missing shows a lost frame. Drawn by hand because text elements need a font
//! library that a server seldom has.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Luma of the ground and of the strokes, in video range.
const BLACK: u8 = 16;
const WHITE: u8 = 235;

/// Which segments a digit lights: top, top right, bottom right, bottom, bottom left, top left, middle.
const DIGITS: [u8; 10] = [
    0b011_1111, 0b000_0110, 0b101_1011, 0b100_1111, 0b110_0110, 0b110_1101, 0b111_1101, 0b000_0111,
    0b111_1111, 0b110_1111,
];

/// Draws `HH:MM:SS.mmm NNNNNN` (UTC) at the lower edge of an I420 picture of this size.
pub(super) fn draw(picture: &mut [u8], width: usize, height: usize, now: SystemTime, frame: u64) {
    let text = text(now, frame);
    // A character is 4 units wide and 7 high, with one unit of space after it.
    let unit = (width / (5 * text.len() + 4)).max(1);
    let left = width.saturating_sub(5 * unit * text.len()) / 2;
    let top = height.saturating_sub(12 * unit);
    let stride = width.next_multiple_of(4);
    let mut plane = Plane {
        luma: picture,
        stride,
        width,
        height,
        unit,
    };
    plane.fill(
        left.saturating_sub(2 * unit),
        top,
        5 * text.len() + 4,
        11,
        BLACK,
    );
    for (index, character) in text.bytes().enumerate() {
        plane.character(left + 5 * unit * index, top + 2 * unit, character);
    }
}

fn text(now: SystemTime, frame: u64) -> String {
    let time = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = time.as_secs();
    format!(
        "{:02}:{:02}:{:02}.{:03} {:06}",
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
        time.subsec_millis(),
        frame % 1_000_000
    )
}

struct Plane<'a> {
    luma: &'a mut [u8],
    /// Bytes from one line to the next.
    stride: usize,
    width: usize,
    height: usize,
    /// Pixels in one unit of the drawing.
    unit: usize,
}

impl Plane<'_> {
    fn character(&mut self, left: usize, top: usize, character: u8) {
        let unit = self.unit;
        match character {
            b'0'..=b'9' => {
                let lit = DIGITS[usize::from(character - b'0')];
                for (index, &(x, y, width, height)) in SEGMENTS.iter().enumerate() {
                    if lit >> index & 1 == 1 {
                        self.fill(left + x * unit, top + y * unit, width, height, WHITE);
                    }
                }
            }
            b':' => {
                self.fill(left + unit, top + 2 * unit, 1, 1, WHITE);
                self.fill(left + unit, top + 4 * unit, 1, 1, WHITE);
            }
            b'.' => self.fill(left + unit, top + 6 * unit, 1, 1, WHITE),
            _ => {}
        }
    }

    /// A rectangle; its place in pixels, its size in units. What lies outside is left out.
    fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, value: u8) {
        let right = (x + width * self.unit).min(self.width);
        let bottom = (y + height * self.unit).min(self.height);
        for line in y..bottom {
            let start = line * self.stride;
            if let Some(pixels) = self.luma.get_mut(start + x..start + right.max(x)) {
                pixels.fill(value);
            }
        }
    }
}

/// Place and size of each segment in a character, in units: x, y, width, height.
const SEGMENTS: [(usize, usize, usize, usize); 7] = [
    (0, 0, 4, 1),
    (3, 0, 1, 4),
    (3, 3, 1, 4),
    (0, 6, 4, 1),
    (0, 3, 1, 4),
    (0, 0, 1, 4),
    (0, 3, 4, 1),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_number_are_of_fixed_width() {
        let noon = UNIX_EPOCH + Duration::from_millis(86_400_000 * 3 + 43_200_007);
        assert_eq!(text(noon, 42), "12:00:00.007 000042");
        assert_eq!(text(noon, 1_000_001), "12:00:00.007 000001");
    }

    #[test]
    fn only_luma_changes_and_the_next_frame_looks_different() {
        let (width, height) = (322, 180);
        let stride = 324;
        let mut first = vec![100; stride * height * 3 / 2];
        let mut second = first.clone();
        draw(&mut first, width, height, UNIX_EPOCH, 1);
        draw(&mut second, width, height, UNIX_EPOCH, 2);
        let (luma, chroma) = first.split_at(stride * height);
        assert!(luma.contains(&WHITE) && luma.contains(&BLACK));
        assert!(chroma.iter().all(|&value| value == 100));
        assert_ne!(first, second);
    }

    #[test]
    fn pictures_of_any_size_are_safe_to_draw_on() {
        for (width, height) in [(2_usize, 2), (16, 16), (64, 2), (2, 64), (100, 50)] {
            let mut picture = vec![0; width.next_multiple_of(4) * height];
            draw(&mut picture, width, height, SystemTime::now(), u64::MAX);
            draw(&mut picture[..1], width, height, SystemTime::now(), 0);
        }
    }
}
