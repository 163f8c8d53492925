//! A bounded queue between two threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;

#[derive(Debug)]
struct Shared<T> {
    queue: ArrayQueue<T>,
    refused: AtomicU64,
}

/// The side that sends.
#[derive(Debug)]
pub struct Sender<T>(Arc<Shared<T>>);

/// The side that receives.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Shared<T>>);

/// A mailbox that holds at most `capacity` letters.
pub fn mailbox<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared { queue: ArrayQueue::new(capacity), refused: AtomicU64::new(0) });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Sender<T> {
    /// Puts a letter in the box; a full box returns it and counts the refusal.
    pub fn send(&self, letter: T) -> Result<(), T> {
        self.0.queue.push(letter).inspect_err(|_| {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Letters refused since the start because the box was full.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }
}

impl<T> Receiver<T> {
    /// The next letter, if there is one.
    pub fn receive(&self) -> Option<T> {
        self.0.queue.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_box_returns_the_letter_and_counts_it() {
        let (sender, receiver) = mailbox(1);
        assert_eq!(sender.send('a'), Ok(()));
        assert_eq!(sender.send('b'), Err('b'));
        assert_eq!(sender.refused(), 1);
        assert_eq!(receiver.receive(), Some('a'));
        assert_eq!(receiver.receive(), None);
    }
}
