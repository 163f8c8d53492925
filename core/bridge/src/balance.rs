//! Which worker gets the next connection, where they are to have equally many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many connections each worker has.
#[derive(Debug)]
pub struct Balance(Box<[AtomicUsize]>);

impl Balance {
    /// For that many workers, none of which has any.
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self((0..workers).map(|_| AtomicUsize::new(0)).collect()))
    }

    /// A place at the worker that has the fewest, at the first of them if there are several; at
    /// `own` where there are no workers to choose from.
    ///
    /// Two that ask at the same time do not get the same place: whoever finds that a number has
    /// changed looks again.
    pub fn seat(self: &Arc<Self>, own: usize) -> Seat {
        loop {
            let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed)).enumerate();
            let Some((worker, count)) = counts.min_by_key(|(_, count)| *count) else {
                return Seat { balance: Arc::clone(self), worker: own };
            };
            let (before, after) = (count, count + 1);
            let order = Ordering::Relaxed;
            if self.0[worker].compare_exchange(before, after, order, order).is_ok() {
                return Seat { balance: Arc::clone(self), worker };
            }
        }
    }

    /// A place at that worker, however many it has.
    pub fn seat_at(self: &Arc<Self>, worker: usize) -> Seat {
        if let Some(count) = self.0.get(worker) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Seat { balance: Arc::clone(self), worker }
    }
}

/// One connection of a worker, counted until dropped.
#[derive(Debug)]
pub struct Seat {
    balance: Arc<Balance>,
    worker: usize,
}

impl Seat {
    /// Whose connection it is.
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// The numbers that it counts in.
    pub fn balance(&self) -> &Arc<Balance> {
        &self.balance
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(count) = self.balance.0.get(self.worker) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_with_the_fewest_is_next() {
        let balance = Balance::new(3);
        let seats: Vec<Seat> = (0..6).map(|_| balance.seat(1)).collect();
        let workers: Vec<usize> = seats.iter().map(Seat::worker).collect();
        assert_eq!(workers, [0, 1, 2, 0, 1, 2]);
        let mut seats = seats.into_iter();
        drop(seats.nth(4));
        assert_eq!(balance.seat(0).worker(), 0, "of two with none, the first");
        let _anyway = balance.seat_at(0);
        let _more = balance.seat(0);
        assert_eq!(Balance::new(0).seat(7).worker(), 7);
    }

    #[test]
    fn many_who_ask_at_once_get_different_places() {
        let balance = Balance::new(4);
        let threads = (0..4).map(|own| {
            let balance = Arc::clone(&balance);
            std::thread::spawn(move || (0..1000).map(|_| balance.seat(own)).collect::<Vec<_>>())
        });
        let threads: Vec<_> = threads.collect();
        let all = threads.into_iter().flat_map(|thread| thread.join().expect("it ends"));
        let all: Vec<Seat> = all.collect();
        let of = |worker| all.iter().filter(|seat| seat.worker() == worker).count();
        assert_eq!([of(0), of(1), of(2), of(3)], [1000; 4]);
    }
}
