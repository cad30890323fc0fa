//! The list of streams for who asks by HTTP: made by the control plane's task, which must not be kept
//! busy with it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::StreamStatus;

/// A list is made at most this often.
const INTERVAL: Duration = Duration::from_millis(50);

/// The last list, shared by all handles.
#[derive(Clone, Debug, Default)]
pub(super) struct Listing(Arc<Mutex<Option<Listed>>>);

#[derive(Debug)]
struct Listed {
    /// Whoever asked before this time finds all that happened before it asked.
    begun: Instant,
    streams: Arc<[StreamStatus]>,
}

impl Listing {
    /// The streams, as `list` says them: the last list where that was begun after this call, otherwise
    /// a new one. Of many who ask at a time one makes it for all.
    pub(super) async fn get<F>(&self, list: impl FnOnce() -> F) -> Arc<[StreamStatus]>
    where
        F: Future<Output = Vec<StreamStatus>>,
    {
        let came = Instant::now();
        let mut last = self.0.lock().await;
        if let Some(listed) = &*last {
            if listed.begun > came {
                return Arc::clone(&listed.streams);
            }
            sleep_until(listed.begun + INTERVAL).await;
        }
        let begun = Instant::now();
        let streams: Arc<[StreamStatus]> = list().await.into();
        *last = Some(Listed {
            begun,
            streams: Arc::clone(&streams),
        });
        streams
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_share_a_list_and_none_is_older_than_the_question() {
        let (listing, made) = (Listing::default(), AtomicUsize::new(0));
        let list = || async {
            made.fetch_add(1, Ordering::Relaxed);
            Vec::new()
        };
        let began = Instant::now();
        listing.get(list).await;
        assert_eq!(made.load(Ordering::Relaxed), 1);
        let ask = || async {
            for _ in 0..10 {
                listing.get(list).await;
            }
        };
        tokio::join!(ask(), ask(), ask(), ask());
        // Ten rounds of four who ask together, each after what was made before it.
        assert_eq!(made.load(Ordering::Relaxed), 1 + 10);
        assert_eq!(began.elapsed(), 10 * INTERVAL);
    }
}
