//! Heads that wait for their events, in storage that is reused.

/// What is larger is not kept: one large head must not weigh on a connection for its life.
const MAX_KEPT_BYTES: usize = 16 * 1024;

/// Storage that can tell what it holds.
pub(super) trait Storage: Default {
    /// Bytes of storage, used or not.
    fn held_bytes(&self) -> usize;

    /// Bytes of what it holds now.
    fn byte_size(&self) -> usize;

    /// Becomes the same, in the storage that it has.
    fn copy_from(&mut self, other: &Self);
}

/// The first `filled` items were written since the last rewind, and the first `taken` of them
/// polled. There are at most as many as events.
#[derive(Debug, Default)]
pub(super) struct Pool<T> {
    items: Vec<T>,
    filled: usize,
    taken: usize,
}

impl<T: Storage> Pool<T> {
    /// All events were polled: the storage is free again.
    pub(super) fn rewind(&mut self) {
        for item in &mut self.items[..self.filled] {
            if item.held_bytes() > MAX_KEPT_BYTES {
                *item = T::default();
            }
        }
        self.filled = 0;
        self.taken = 0;
    }

    /// The item that is written next; `commit` keeps it.
    pub(super) fn next_mut(&mut self) -> &mut T {
        if self.filled == self.items.len() {
            self.items.push(T::default());
        }
        &mut self.items[self.filled]
    }

    pub(super) fn commit(&mut self) {
        self.filled += 1;
    }

    /// The next event was polled.
    pub(super) fn advance(&mut self) {
        self.taken += 1;
    }

    /// The item of the event polled last; an empty one before the first.
    pub(super) fn current_mut(&mut self) -> &mut T {
        if self.items.is_empty() {
            self.items.push(T::default());
        }
        let at = self.taken.saturating_sub(1).min(self.items.len() - 1);
        &mut self.items[at]
    }

    pub(super) fn shrink(&mut self) {
        if self.filled == self.taken {
            *self = Self { items: Vec::new(), filled: 0, taken: 0 };
        }
    }
}
