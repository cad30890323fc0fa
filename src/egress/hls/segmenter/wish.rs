//! The wish for a keyframe: that a segment may begin with it, or a rendition.

/// Told once for each reason, and for the next segment so early that the keyframe comes when the one before is as
/// long as it should be.
#[derive(Debug)]
pub(super) struct KeyframeWish {
    state: State,
    /// How long it took the publisher to answer the newest requests (ns), the last of them first.
    answers: [Option<i64>; 3],
    /// Decode time of the newest picture when it was asked for the next segment.
    asked: Option<i64>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    None,
    Wanted,
    Told,
}

impl KeyframeWish {
    pub(super) fn new() -> Self {
        Self {
            state: State::None,
            answers: [None; 3],
            asked: None,
        }
    }

    /// For whatever begins with the next keyframe.
    pub(super) fn wish(&mut self) {
        if self.state == State::None {
            self.state = State::Wanted;
        }
    }

    /// A picture of decode time `dts` is in a segment that ends in the time `left` (ns) at best.
    pub(super) fn approach(&mut self, dts: i64, left: i64) {
        if left <= self.notice() + SLACK && self.asked.is_none() {
            self.asked = Some(dts);
            self.wish();
        }
    }

    /// True once for each reason.
    pub(super) fn poll(&mut self) -> bool {
        let is_wanted = self.state == State::Wanted;
        if is_wanted {
            self.state = State::Told;
        }
        is_wanted
    }

    /// Whether a keyframe has been asked for, so that it may end a segment a little early.
    pub(super) fn is_told(&self) -> bool {
        self.state == State::Told
    }

    /// A segment begins with the picture of this decode time; learns from that when to ask for the next.
    pub(super) fn begin(&mut self, dts: i64) {
        if let (true, Some(asked)) = (self.is_told(), self.asked) {
            self.answers.rotate_right(1);
            self.answers[0] = Some((dts - asked).clamp(0, MOST));
        }
        self.forget();
    }

    /// How long before the end of a segment to ask: as long as an answer takes. The middle of three is right also when one
    /// was late, or had been on its way for somebody else.
    fn notice(&self) -> i64 {
        match self.answers {
            [Some(a), Some(b), Some(c)] => a.max(b).min(a.min(b).max(c)),
            [Some(a), Some(b), _] => a.max(b),
            [a, ..] => a.unwrap_or(FIRST),
        }
    }

    /// What was wished for is of no use any more.
    pub(super) fn forget(&mut self) {
        (self.state, self.asked) = (State::None, None);
    }
}

/// How long before the end of a segment a keyframe is asked for at most (ns); it may come at once.
pub(super) const MOST: i64 = 300_000_000;

/// The same while nobody knows how long an answer takes.
const FIRST: i64 = 100_000_000;

/// Pictures come in steps, and their times are rounded (ns).
const SLACK: i64 = 5_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// The lengths of ten segments of at least 2 s, in pictures of 1/30 s, with keyframes so many pictures after
    /// they were asked for.
    fn lengths(answers: impl Fn(usize) -> i64) -> Vec<i64> {
        let (mut wish, mut begun, mut due) = (KeyframeWish::new(), 0, None);
        let mut lengths = Vec::new();
        for picture in 1.. {
            let dts = picture * SECOND / 30;
            let age = dts - begun * SECOND / 30;
            if due == Some(picture) && age >= 2 * SECOND - MOST {
                wish.begin(dts);
                lengths.push(picture - begun);
                (begun, due) = (picture, None);
            } else {
                wish.approach(dts, 2 * SECOND - age);
            }
            if wish.poll() {
                due = Some(picture + answers(lengths.len()));
            }
            if lengths.len() == 10 {
                break;
            }
        }
        lengths
    }

    #[test]
    fn segments_become_as_long_as_they_should_be() {
        assert_eq!(lengths(|_| 1), [58, 60, 60, 60, 60, 60, 60, 60, 60, 60]);
        assert_eq!(lengths(|_| 5), [62, 60, 60, 60, 60, 60, 60, 60, 60, 60]);
    }

    #[test]
    fn a_slower_publisher_is_known_after_two_answers() {
        let answers = |segment| if segment < 5 { 1 } else { 6 };
        assert_eq!(lengths(answers)[5..], [65, 65, 60, 60, 60]);
    }

    #[test]
    fn one_late_answer_makes_one_segment_longer() {
        let answers = |segment| if segment == 5 { 6 } else { 1 };
        assert_eq!(lengths(answers)[4..], [60, 65, 60, 60, 60, 60]);
    }

    #[test]
    fn a_keyframe_for_somebody_else_makes_no_segment_late() {
        let answers = |segment| if segment == 5 { 1 } else { 6 };
        assert_eq!(lengths(answers)[4..], [60, 55, 60, 60, 60, 60]);
    }

    #[test]
    fn who_does_not_answer_is_asked_as_early_as_may_be() {
        // Its keyframes come 49 pictures later, by themselves.
        assert_eq!(lengths(|_| 49)[..3], [106, 100, 100]);
    }

    #[test]
    fn each_reason_is_told_once() {
        let mut wish = KeyframeWish::new();
        wish.wish();
        wish.approach(SECOND, 0);
        assert!(wish.poll() && !wish.poll());
        wish.wish();
        assert!(!wish.poll(), "a keyframe is on its way");
        wish.begin(2 * SECOND);
        wish.wish();
        assert!(wish.poll());
    }
}
