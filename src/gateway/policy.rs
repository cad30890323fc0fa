//! What happens to a stream when publishers come and go.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::rtp::PlayoutDelay;
use crate::stream::{StreamName, StreamPattern};

/// The rules of the lifetime of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPolicy {
    /// Viewers may come before the publisher; they begin by themselves when it has come.
    pub wait_for_publisher: bool,
    /// How long viewers stay without their publisher; zero: they leave with it.
    pub reconnect_grace: Duration,
    /// What a second publisher of a name gets.
    pub second_publisher: SecondPublisher,
    /// How long the media of a publisher may be away until another one is taken, or the slate.
    pub stall_after: Duration,
    /// How long the media of a better publisher must have come without a stall to be taken again.
    pub return_after: Duration,
    /// Whether viewers get the slate while there is nothing else.
    pub slate: bool,
    /// How long players are to wait before they show a frame; none: what the publisher says.
    pub playout_delay: Option<PlayoutDelay>,
}

/// The rules of all streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPolicies {
    /// Those of streams that have none of their own.
    pub every: StreamPolicy,
    /// Others for some of them. The first that matches holds.
    pub some: Vec<(StreamPattern, StreamPolicy)>,
}

/// What becomes of a publisher whose stream is being published already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondPublisher {
    /// It takes the stream over once it is connected, and the first one is closed: a publisher that
    /// comes back must get in though nobody has noticed yet that it was gone.
    Replace,
    /// It is refused.
    Refuse,
    /// Both stay, and viewers get the one of the higher [`Priority`] whose media comes. Of two with
    /// the same priority the second replaces the first.
    Backup,
}

/// Which of several publishers of one stream goes first: the one with the higher number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(pub u8);

/// The place of a publisher among those of its stream; the last is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// The server's own picture for the time when there is no other.
    Slate,
    /// Somebody's.
    Publisher(Priority),
}

impl StreamPolicies {
    /// The rules of a stream.
    pub fn of(&self, name: &StreamName) -> &StreamPolicy {
        let mut some = self.some.iter();
        let own = some.find(|(pattern, _)| pattern.matches(name));
        own.map_or(&self.every, |(_, policy)| policy)
    }
}

impl From<StreamPolicy> for StreamPolicies {
    fn from(every: StreamPolicy) -> Self {
        let some = Vec::new();
        Self { every, some }
    }
}

impl StreamPolicy {
    /// How long media may be away until something is done about it, if anything is.
    pub(super) fn stall(&self) -> Option<Duration> {
        let acts = self.slate || self.second_publisher == SecondPublisher::Backup;
        acts.then_some(self.stall_after)
    }

    /// The place of a publisher that asked for one. Where there are no backups, all are equal.
    pub(super) fn rank(&self, asked: Rank) -> Rank {
        match (self.second_publisher, asked) {
            (SecondPublisher::Backup, _) | (_, Rank::Slate) => asked,
            _ => Rank::default(),
        }
    }
}

impl Priority {
    /// Of who says nothing else.
    pub const PRIMARY: Self = Self(100);
    /// Of who says that it is a backup.
    pub const BACKUP: Self = Self(50);
}

impl FromStr for Priority {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Default for Rank {
    fn default() -> Self {
        Self::Publisher(Priority::PRIMARY)
    }
}
