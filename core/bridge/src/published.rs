//! One writer, many readers, latest value wins, no locks.
//!
//! Each reader has a cell of its own that holds at most one value, so publishing touches every
//! reader's cell once and reading touches no memory that another core writes in steady state.

use std::sync::Arc;

use crossbeam_queue::ArrayQueue;

type Cell<T> = Arc<ArrayQueue<Arc<T>>>;

/// The writing side.
#[derive(Debug)]
pub struct Publisher<T> {
    cells: Vec<Cell<T>>,
}

/// One reader's side.
#[derive(Debug)]
pub struct Subscriber<T> {
    cell: Cell<T>,
}

/// A publisher and its readers.
pub fn channel<T>(readers: usize) -> (Publisher<T>, Vec<Subscriber<T>>) {
    let cells: Vec<Cell<T>> = (0..readers).map(|_| Arc::new(ArrayQueue::new(1))).collect();
    let subscribers = cells.iter().map(|cell| Subscriber { cell: Arc::clone(cell) }).collect();
    (Publisher { cells }, subscribers)
}

impl<T> Publisher<T> {
    /// Hands `value` to every reader; a value that a reader has not taken yet is replaced.
    pub fn publish(&self, value: &Arc<T>) {
        for cell in &self.cells {
            drop(cell.force_push(Arc::clone(value)));
        }
    }
}

impl<T> Subscriber<T> {
    /// The latest value, once. `None` when nothing was published since the last call.
    pub fn take(&self) -> Option<Arc<T>> {
        self.cell.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_the_latest_value_once() {
        let (publisher, readers) = channel(2);
        publisher.publish(&Arc::new(1));
        publisher.publish(&Arc::new(2));
        assert_eq!(readers[0].take().as_deref(), Some(&2));
        assert_eq!(readers[0].take(), None);
        publisher.publish(&Arc::new(3));
        assert_eq!(readers[1].take().as_deref(), Some(&3));
    }

    #[test]
    fn a_reader_never_goes_back_in_time() {
        let (publisher, mut readers) = channel(1);
        let reader = readers.remove(0);
        let seen = std::thread::spawn(move || {
            let mut last = 0;
            while last < 10_000 {
                if let Some(value) = reader.take() {
                    assert!(*value > last, "{} after {last}", *value);
                    last = *value;
                }
            }
            last
        });
        for value in 1..=10_000 {
            publisher.publish(&Arc::new(value));
        }
        assert_eq!(seen.join().expect("the reader ends well"), 10_000);
    }
}
