//! What happens to a stream when publishers come and go.

use std::time::Duration;

/// The rules of the lifetimes of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPolicy {
    /// Viewers may come before the publisher; they begin by themselves when it has come.
    pub wait_for_publisher: bool,
    /// How long viewers stay without their publisher; zero: they leave with it.
    pub reconnect_grace: Duration,
    /// What a second publisher of a name gets.
    pub second_publisher: SecondPublisher,
    /// How long a player may take to answer an offer of ours.
    pub answer_timeout: Duration,
}

/// What becomes of a publisher whose stream is being published already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondPublisher {
    /// It takes the stream over once it is connected, and the first one is closed: a publisher that
    /// comes back must get in though nobody has noticed yet that it was gone.
    Replace,
    /// It is refused.
    Refuse,
}
