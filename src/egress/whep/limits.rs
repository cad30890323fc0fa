//! What one viewer may ask for, as all others pay for it.

use std::sync::Arc;
use std::time::Duration;

use super::Subscriber;
use super::pleas::Pleas;
use super::retransmission::Budget;

/// Bounds of what viewers ask for by RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewerLimits {
    /// Packets that may be repeated at once; in the long run half of what the viewer gets. Enough for heavy losses
    /// of all that it gets when it comes: a keyframe and some seconds behind it.
    pub retransmissions: u32,
    /// How often the publisher is asked for a keyframe because of one viewer, in the long run.
    pub keyframe_interval: Duration,
}

impl Default for ViewerLimits {
    fn default() -> Self {
        Self {
            retransmissions: 2_048,
            keyframe_interval: Duration::from_secs(3),
        }
    }
}

impl Subscriber {
    /// Other limits than the default ones, before anything is sent.
    pub fn set_limits(&mut self, limits: &Arc<ViewerLimits>) {
        self.limits = Arc::clone(limits);
        self.budget = Budget::new(limits.retransmissions);
        for forwarder in &mut self.forwarders {
            forwarder.set_pleas(Pleas::new(limits.keyframe_interval));
        }
    }
}
