//! Futures in memory that is used again.
//!
//! What a connection does between two waits for its peer may need some kilobytes of state, and
//! nothing of it while the connection waits. Put in a box of its own, that state would cost an
//! allocation each time; here it takes the place of one that ended a moment ago, which the caches
//! still hold.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::num::NonZero;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

/// Layouts that are known; futures of any other are allocated and freed.
const LAYOUTS_MAX: usize = 16;
/// Unused places kept of each layout: as many as a turn of the loop gives back and the next takes.
const KEPT: usize = 1024;
/// Those that stay when a worker has been idle.
const STAYING: usize = 32;

/// A future on the heap, whose place is used again when it is dropped.
pub struct Recycled<F: ?Sized> {
    future: NonNull<F>,
}

// The future stays where it is when this is moved.
impl<F: ?Sized> Unpin for Recycled<F> {}

impl<F: Future> Recycled<F> {
    /// Puts what `make` returns on the heap. A closure, so that it is made in its place.
    #[inline]
    pub fn new(make: impl FnOnce() -> F) -> Self {
        let future = take(Layout::new::<F>()).cast::<F>();
        // SAFETY: the place was allocated for this layout, and nobody else has it. Should `make`
        // panic, the place is lost, and nothing worse.
        unsafe { future.write(make()) };
        Self { future }
    }
}

impl<F: Future<Output = ()> + 'static> Recycled<F> {
    /// The same future, of which nothing is known but that it is one.
    pub(crate) fn erased(self) -> Recycled<dyn Future<Output = ()>> {
        let future: NonNull<dyn Future<Output = ()>> = self.future;
        std::mem::forget(self);
        Recycled { future }
    }
}

impl<F: Future + ?Sized> Future for Recycled<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the future lives in its place until it is dropped there, and is never moved.
        let future = unsafe { Pin::new_unchecked(self.get_mut().future.as_mut()) };
        future.poll(cx)
    }
}

impl<F: ?Sized> Drop for Recycled<F> {
    fn drop(&mut self) {
        // SAFETY: the future is there until it is dropped below.
        let layout = Layout::for_value(unsafe { self.future.as_ref() });
        // SAFETY: written in `new`, dropped only here, and the place goes back afterwards.
        unsafe { self.future.drop_in_place() };
        give(self.future.cast(), layout);
    }
}

impl<F: ?Sized> fmt::Debug for Recycled<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recycled").finish_non_exhaustive()
    }
}

thread_local! {
    static SHELVES: RefCell<Shelves> = const { RefCell::new(Shelves::EMPTY) };
}

/// Unused places of this thread.
struct Shelves {
    list: Vec<Shelf>,
    /// More than what stays, and nobody has been told of it.
    excess: bool,
    trimming: bool,
}

/// Those of one layout.
struct Shelf {
    layout: Layout,
    places: Vec<NonNull<u8>>,
    /// The fewest that lay here since the last trim: those that were not needed.
    least: usize,
}

impl Shelves {
    const EMPTY: Self = Self { list: Vec::new(), excess: false, trimming: false };

    fn of(&mut self, layout: Layout) -> Option<&mut Shelf> {
        if let Some(index) = self.list.iter().position(|shelf| shelf.layout == layout) {
            return self.list.get_mut(index);
        }
        if self.list.len() == LAYOUTS_MAX {
            return None;
        }
        self.list.push(Shelf { layout, places: Vec::new(), least: 0 });
        self.list.last_mut()
    }

    /// Whether the place was kept.
    fn give(&mut self, place: NonNull<u8>, layout: Layout) -> bool {
        let Some(shelf) = self.of(layout).filter(|shelf| shelf.places.len() < KEPT) else {
            return false;
        };
        shelf.places.push(place);
        let many = shelf.places.len() > STAYING;
        self.excess |= many && !self.trimming;
        true
    }

    fn trim(&mut self) -> bool {
        self.excess = false;
        self.trimming = self.list.iter_mut().fold(false, |more, shelf| shelf.trim() | more);
        self.trimming
    }
}

impl Shelf {
    fn take(&mut self) -> Option<NonNull<u8>> {
        let place = self.places.pop();
        self.least = self.least.min(self.places.len());
        place
    }

    /// Frees half of what was not needed since the last time; `true` while there is more to free.
    fn trim(&mut self) -> bool {
        let rest = (self.places.len() - self.least.div_ceil(2)).max(STAYING);
        for place in self.places.drain(rest.min(self.places.len())..) {
            // SAFETY: allocated with this layout, and nobody uses it.
            unsafe { dealloc(place.as_ptr(), self.layout) };
        }
        self.least = self.places.len();
        self.places.len() > STAYING
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        for place in self.places.drain(..) {
            // SAFETY: allocated with this layout, and nobody uses it.
            unsafe { dealloc(place.as_ptr(), self.layout) };
        }
    }
}

fn take(layout: Layout) -> NonNull<u8> {
    if layout.size() == 0 {
        // What has no state needs no place.
        let address = NonZero::new(layout.align()).unwrap_or(NonZero::<usize>::MIN);
        return NonNull::without_provenance(address);
    }
    let place = SHELVES.try_with(|shelves| shelves.borrow_mut().of(layout)?.take());
    place.ok().flatten().unwrap_or_else(|| {
        // SAFETY: the layout is not empty.
        let place = unsafe { alloc(layout) };
        NonNull::new(place).unwrap_or_else(|| handle_alloc_error(layout))
    })
}

fn give(place: NonNull<u8>, layout: Layout) {
    if layout.size() == 0 {
        return;
    }
    // While the thread ends the shelves may be gone before a future that a task holds.
    let kept = SHELVES.try_with(|shelves| shelves.borrow_mut().give(place, layout));
    if kept != Ok(true) {
        // SAFETY: allocated with this layout, and nobody uses it.
        unsafe { dealloc(place.as_ptr(), layout) };
    }
}

/// Whether more has begun to lie unused than should stay for ever: whoever asks must call [`trim`]
/// from time to time until there is no more to free.
pub(crate) fn has_excess() -> bool {
    SHELVES.with_borrow_mut(|shelves| {
        let excess = std::mem::take(&mut shelves.excess);
        shelves.trimming |= excess;
        excess
    })
}

/// Gives back a part of what was not needed for a while; `true` while there is more.
pub(crate) fn trim() -> bool {
    SHELVES.with_borrow_mut(Shelves::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;
    use std::task::Waker;

    fn poll<F: Future>(future: &mut Recycled<F>) -> Poll<F::Output> {
        Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Waits once, with something on its stack that the wait keeps.
    async fn waits_once(held: Rc<()>) -> usize {
        let numbers = [7_usize; 100];
        let mut waited = false;
        std::future::poll_fn(|_| match std::mem::replace(&mut waited, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        drop(held);
        numbers.iter().sum()
    }

    #[test]
    fn a_future_runs_and_its_place_is_used_again() {
        let held = Rc::new(());
        let mut first = Recycled::new(|| waits_once(Rc::clone(&held)));
        let place = first.future;
        assert_eq!(poll(&mut first), Poll::Pending);
        assert_eq!(poll(&mut first), Poll::Ready(700));
        drop(first);
        assert_eq!(Rc::strong_count(&held), 1);
        assert_eq!(Recycled::new(|| waits_once(Rc::clone(&held))).future, place);
    }

    #[test]
    fn one_of_which_nothing_is_known_gives_its_place_back_too() {
        let held = Rc::new(());
        let counts = Rc::clone(&held);
        let future = Recycled::new(|| async move { assert_eq!(waits_once(counts).await, 700) });
        let place = future.future.cast::<u8>();
        let mut erased = future.erased();
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(Pin::new(&mut erased).poll(&mut cx), Poll::Pending);
        drop(erased);
        assert_eq!(Rc::strong_count(&held), 1);
        let again = Recycled::new(|| async move { assert_eq!(waits_once(held).await, 700) });
        assert_eq!(again.future.cast::<u8>(), place);
    }

    #[test]
    fn one_that_is_dropped_half_way_drops_what_it_holds() {
        let held = Rc::new(());
        let mut future = Recycled::new(|| waits_once(Rc::clone(&held)));
        assert_eq!(poll(&mut future), Poll::Pending);
        assert_eq!(Rc::strong_count(&held), 2);
        drop(future);
        assert_eq!(Rc::strong_count(&held), 1);
    }

    #[test]
    fn what_was_not_needed_for_long_is_freed() {
        let crowd: Vec<_> = (0..100).map(|_| Recycled::new(|| waits_once(Rc::default()))).collect();
        drop(crowd);
        assert!(has_excess());
        let mut turns = 0;
        while trim() {
            turns += 1;
            assert!(turns < 100, "it does not end");
        }
        assert!(turns > 1, "all at once");
    }
}
