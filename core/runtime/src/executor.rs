//! Tasks of one thread, woken by number.
//!
//! A waker carries the number and the generation of its task, not a pointer: cloning and dropping
//! it costs nothing, a stale one wakes nobody, and one that strays to another thread finds no
//! loop of ours there and does nothing.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, RawWaker, RawWakerVTable, Waker};

use slab::Slab;

use crate::event_loop;
use crate::recycled::Recycled;

/// Tasks of connections come and go with them, so their places are used again.
pub(crate) type Boxed = Recycled<dyn Future<Output = ()>>;

/// How often the tasks that others have woken run in one turn: from a connection to its streams,
/// to another connection, and back.
const PASSES: usize = 4;
/// So many tasks are a crowd: when three quarters of one have left, their memory is given back.
const CROWD: usize = 1024;

#[derive(Default)]
pub(crate) struct Executor {
    tasks: RefCell<Slab<Task>>,
    ready: RefCell<VecDeque<Id>>,
    /// What the next turn begins with.
    later: RefCell<VecDeque<Id>>,
    generation: RefCell<u32>,
    /// The most tasks that there were at a time, since a crowd has left.
    most: Cell<usize>,
}

struct Task {
    /// Absent while the task runs.
    future: Option<Boxed>,
    generation: u32,
    queued: bool,
}

#[derive(Clone, Copy)]
struct Id {
    key: u32,
    generation: u32,
}

impl Executor {
    pub(crate) fn spawn(&self, future: Boxed) {
        let mut generation = self.generation.borrow_mut();
        *generation = generation.wrapping_add(1);
        let task = Task { future: Some(future), generation: *generation, queued: true };
        let key = self.tasks.borrow_mut().insert(task) as u32;
        self.later.borrow_mut().push_back(Id { key, generation: *generation });
    }

    /// Whether a crowd has left since this was last asked.
    pub(crate) fn crowd_has_left(&self) -> bool {
        let (most, now) = (self.most.get(), self.tasks.borrow().len());
        let left = most >= CROWD && now < most / 4;
        self.most.set(if left { now } else { most.max(now) });
        left
    }

    /// Drops all tasks.
    pub(crate) fn clear(&self) {
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        drop(tasks);
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.borrow().is_empty() || !self.later.borrow().is_empty()
    }

    /// Runs the tasks that are ready, and those that they wake: what goes from task to task needs
    /// no system call in between. Whoever wakes itself waits for the next turn, as does a new task:
    /// the one wants others to have their turn, the other may be a way to do so.
    pub(crate) fn run_ready(&self) {
        self.ready.borrow_mut().append(&mut self.later.borrow_mut());
        for _ in 0..PASSES {
            let now = self.ready.borrow().len();
            for _ in 0..now {
                let next = self.ready.borrow_mut().pop_front();
                let Some(id) = next else { return };
                self.run(id);
            }
        }
    }

    /// Runs the task of a waker at once, within the one that asks for it. One that runs already
    /// waits for its turn, and a waker of something else is woken.
    pub(crate) fn run_now(&self, waker: &Waker) {
        if !std::ptr::eq(waker.vtable(), &VTABLE) {
            return waker.wake_by_ref();
        }
        let id = id(waker.data());
        let mut tasks = self.tasks.borrow_mut();
        let task = tasks.get_mut(id.key as usize).filter(|t| t.generation == id.generation);
        let Some(task) = task else { return };
        let rests = task.future.is_some();
        task.queued |= rests;
        drop(tasks);
        match rests {
            true => self.run(id),
            false => self.wake(id),
        }
    }

    fn run(&self, id: Id) {
        let Some(mut future) = self.begin(id) else { return };
        let waker = waker(id);
        let done = Pin::new(&mut future).poll(&mut Context::from_waker(&waker)).is_ready();
        if done {
            let task = self.tasks.borrow_mut().remove(id.key as usize);
            drop((task, future));
        } else if let Some(task) = self.tasks.borrow_mut().get_mut(id.key as usize) {
            task.future = Some(future);
        }
    }

    fn begin(&self, id: Id) -> Option<Boxed> {
        let mut tasks = self.tasks.borrow_mut();
        let task = tasks.get_mut(id.key as usize).filter(|t| t.generation == id.generation)?;
        // It has run since it was woken, within another task.
        if !std::mem::replace(&mut task.queued, false) {
            return None;
        }
        task.future.take()
    }

    fn wake(&self, id: Id) {
        let mut tasks = self.tasks.borrow_mut();
        let task = tasks.get_mut(id.key as usize).filter(|t| t.generation == id.generation);
        if let Some(task) = task
            && !std::mem::replace(&mut task.queued, true)
        {
            let runs = task.future.is_none();
            let queue = if runs { &self.later } else { &self.ready };
            queue.borrow_mut().push_back(id);
        }
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, |_| {});

fn waker(id: Id) -> Waker {
    // SAFETY: the data is a number; every function of the table treats it as one, from any thread.
    unsafe { Waker::from_raw(raw(id)) }
}

fn raw(id: Id) -> RawWaker {
    let number = u64::from(id.generation) << 32 | u64::from(id.key);
    RawWaker::new(std::ptr::without_provenance(number as usize), &VTABLE)
}

fn id(data: *const ()) -> Id {
    let number = data.addr() as u64;
    Id { key: number as u32, generation: (number >> 32) as u32 }
}

// The functions of a waker's table are declared unsafe; these are safe with any data.
unsafe fn clone(data: *const ()) -> RawWaker {
    raw(id(data))
}

unsafe fn wake(data: *const ()) {
    // While the thread ends there may be no loop any more, and no task either.
    event_loop::with(|event_loop| event_loop.executor.wake(id(data)));
}
