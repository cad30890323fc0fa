//! A request that waits for what is about to come.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;

use super::Presentation;
use super::resource::{Directives, File, Resource};
use super::state::{Answer, State};
use crate::egress::hls::rendition::RenditionId;

/// Resolves to the answer once there is one. It has no limit of time of its own, and holds no lock
/// between polls; dropping it forgets it.
#[derive(Debug)]
pub struct Waiting {
    pub(super) presentation: Arc<Presentation>,
    pub(super) file: File,
    pub(super) directives: Directives,
    pub(super) asked: Instant,
    pub(super) seat: Option<Seat>,
}

impl Future for Waiting {
    type Output = Resource;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Resource> {
        let this = &mut *self;
        let presentation = &this.presentation;
        let mut state = presentation.lock();
        match state.answer(
            this.file,
            this.directives,
            &presentation.settings,
            this.asked,
        ) {
            Answer::Ready(resource) => Poll::Ready(resource),
            Answer::Grows(rendition, number) => {
                // It waited for the same rendition.
                let own = this.seat.take();
                let seat = own.or_else(|| Seat::take(presentation, &mut state, rendition));
                Poll::Ready(Growing::of(seat, number))
            }
            Answer::After(rendition) => {
                if this.seat.is_none() {
                    this.seat = Seat::take(presentation, &mut state, rendition);
                }
                let Some(seat) = &this.seat else {
                    return Poll::Ready(Resource::Busy);
                };
                seat.wait(&mut state, context.waker());
                Poll::Pending
            }
        }
    }
}

/// A segment that grows: its parts one after the other, each as soon as it is there. It counts as a
/// request that waits, and holds no media.
#[derive(Debug)]
pub struct Growing {
    seat: Seat,
    number: u64,
    /// Parts that are out.
    parts: usize,
    /// The last one is.
    is_whole: bool,
}

/// The rest of a segment is in memory no longer: who took it was too slow.
#[derive(Debug, thiserror::Error)]
#[error("the rest of the segment is gone")]
pub struct Gone;

impl Growing {
    pub(super) fn of(seat: Option<Seat>, number: u64) -> Resource {
        seat.map_or(Resource::Busy, |seat| {
            Resource::Growing(Self {
                seat,
                number,
                parts: 0,
                is_whole: false,
            })
        })
    }

    /// The next part; none once the segment is whole, or nothing more comes of it.
    pub fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Gone>>> {
        if self.is_whole {
            return Poll::Ready(None);
        }
        let mut state = self.seat.presentation.lock();
        let shelf = &state.shelves[self.seat.rendition.index()];
        let Some(segment) = shelf.get(self.number) else {
            return Poll::Ready(Some(Err(Gone)));
        };
        if let Some(part) = segment.parts.get(self.parts) {
            self.parts += 1;
            self.is_whole = segment.complete && self.parts == segment.parts.len();
            return Poll::Ready(Some(Ok(part.body.clone())));
        }
        if segment.complete {
            // One that was left to its file has no parts any more.
            let is_whole = self.parts == segment.parts.len();
            return Poll::Ready((!is_whole).then_some(Err(Gone)));
        }
        self.seat.wait(&mut state, context.waker());
        Poll::Pending
    }

    /// The media type of the segment.
    pub fn content_type(&self) -> &'static str {
        super::resource::content_type(self.seat.rendition)
    }
}

/// A place among those that wait for the parts of a rendition, of whom there are not too many.
#[derive(Debug)]
pub(super) struct Seat {
    presentation: Arc<Presentation>,
    rendition: RenditionId,
    key: usize,
}

impl Seat {
    /// None when all are taken. It must not be dropped while the state is locked.
    pub(super) fn take(
        presentation: &Arc<Presentation>,
        state: &mut State,
        rendition: RenditionId,
    ) -> Option<Self> {
        let total = &presentation.waiting;
        if total.fetch_add(1, Ordering::Relaxed) >= presentation.settings.waiting {
            total.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self {
            presentation: Arc::clone(presentation),
            rendition,
            key: state.waiting[rendition.index()].insert(None),
        })
    }

    /// Has this woken by the next change.
    fn wait(&self, state: &mut State, waker: &Waker) {
        if let Some(own) = state.waiting[self.rendition.index()].get_mut(self.key) {
            *own = Some(waker.clone());
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.presentation.lock().waiting[self.rendition.index()].try_remove(self.key);
        self.presentation.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl State {
    /// Who waits for a part of `rendition`: to be woken outside the lock.
    pub(super) fn take_wakers(&mut self, rendition: RenditionId) -> Vec<Waker> {
        let waiting = &mut self.waiting[rendition.index()];
        waiting
            .iter_mut()
            .filter_map(|(_, waker)| waker.take())
            .collect()
    }

    /// Who waits for anything.
    pub(super) fn take_all_wakers(&mut self) -> Vec<Waker> {
        RenditionId::all()
            .flat_map(|id| self.take_wakers(id))
            .collect()
    }
}

/// How many requests of all streams wait.
pub(super) type Count = Arc<AtomicUsize>;
