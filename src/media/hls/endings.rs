//! Pipelines on their way out: one that hangs in an encoder may never end, which is not for its stream to wait for.

use std::thread::{self, JoinHandle};

/// The pipelines of one owner that have not ended yet.
#[derive(Debug, Default)]
pub(super) struct Endings {
    threads: Vec<JoinHandle<()>>,
}

impl Endings {
    /// Lets a pipeline go, in a thread of its own.
    pub(super) fn end(&mut self, pipeline: impl Send + 'static) {
        let ending = thread::Builder::new()
            .name("hls-end".into())
            .spawn(move || drop(pipeline));
        match ending {
            Ok(ending) => self.threads.push(ending),
            Err(error) => tracing::error!(%error, "no thread for HLS; raise the limit of threads"),
        }
    }

    /// Whether so many do not end that there had better be no other.
    pub(super) fn is_full(&mut self) -> bool {
        self.threads.retain(|ending| !ending.is_finished());
        self.threads.len() >= MOST
    }

    /// Waits until all have ended.
    #[cfg(test)]
    pub(super) fn wait(&mut self) {
        for ending in self.threads.drain(..) {
            ending.join().unwrap();
        }
    }
}

/// So many pipelines that don't end are a driver that hangs.
const MOST: usize = 2;

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Ends when its sender is gone, as a pipeline whose encoder hangs until then.
    struct Hanging(mpsc::Receiver<()>);

    impl Drop for Hanging {
        fn drop(&mut self) {
            let _ = self.0.recv();
        }
    }

    #[test]
    fn nobody_waits_for_one_that_hangs_and_a_third_is_not_begun() {
        let mut endings = Endings::default();
        let (first, hanging) = mpsc::channel();
        endings.end(Hanging(hanging));
        assert!(!endings.is_full());
        let (second, hanging) = mpsc::channel();
        endings.end(Hanging(hanging));
        assert!(endings.is_full());
        drop((first, second));
        endings.wait();
        assert!(!endings.is_full());
    }
}
