//! A request that waits for what is about to come.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use super::Presentation;
use super::resource::{Directives, File, Resource};
use super::state::Answer;
use crate::egress::hls::rendition::RenditionId;

/// Resolves to the answer once there is one. It has no limit of time of its own, and holds no lock
/// between polls; dropping it forgets it.
#[derive(Debug)]
pub struct Waiting {
    pub(super) presentation: Arc<Presentation>,
    pub(super) file: File,
    pub(super) directives: Directives,
    pub(super) asked: Instant,
    pub(super) place: Option<Place>,
}

/// Where its waker is.
#[derive(Debug)]
pub(super) struct Place {
    rendition: RenditionId,
    key: usize,
}

impl Future for Waiting {
    type Output = Resource;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Resource> {
        let this = &mut *self;
        let settings = &this.presentation.settings;
        let mut state = this.presentation.lock();
        match state.answer(this.file, this.directives, settings, this.asked) {
            Answer::Ready(resource) => Poll::Ready(resource),
            Answer::After(rendition) => {
                let waker = Some(context.waker().clone());
                let waiting = &mut state.waiting[rendition.index()];
                match &this.place {
                    Some(place) => {
                        if let Some(own) = waiting.get_mut(place.key) {
                            *own = waker;
                        }
                    }
                    None => {
                        let total = &this.presentation.waiting;
                        if total.fetch_add(1, Ordering::Relaxed) >= settings.waiting {
                            total.fetch_sub(1, Ordering::Relaxed);
                            return Poll::Ready(Resource::Busy);
                        }
                        let key = waiting.insert(waker);
                        this.place = Some(Place { rendition, key });
                    }
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(Place { rendition, key }) = self.place.take() {
            self.presentation.lock().waiting[rendition.index()].try_remove(key);
            self.presentation.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// How many requests of all streams wait.
pub(super) type Count = Arc<AtomicUsize>;
