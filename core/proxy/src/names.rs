//! Names that requests bring, as this worker knows them.
//!
//! Owns the worker's copy of the answers and the requests that wait for one. Who asks the name
//! servers, how long a name is kept and which of them there may be is up to the control thread.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use ringway_bridge::limit::Permit;
use ringway_bridge::mailbox::{Receiver, Sender};
use ringway_bridge::stats::Page;
use ringway_bridge::touch::Touch;
use ringway_bridge::wake::Bell;
use ringway_model::dns::{
    Answer, Ask, Asking, Authority, Lookup, NameCache, NameLine, Names, News, Refused, Told,
};

/// All caches of one worker.
#[derive(Debug)]
pub(crate) struct LocalNames {
    worker: usize,
    page: Arc<Page>,
    asks: Sender<Ask>,
    bell: Arc<Bell>,
    caches: RefCell<Vec<Rc<LocalCache>>>,
}

/// What the worker knows of one cache.
#[derive(Debug)]
struct LocalCache {
    /// It lives as long as something of the configuration has it.
    cache: Weak<NameCache>,
    /// By key. The names are chosen by clients, so that the hash is a keyed one.
    entries: RefCell<HashMap<Box<[u8]>, Entry>>,
}

#[derive(Debug)]
struct Entry {
    state: State,
    touch: Touch,
}

#[derive(Debug)]
enum State {
    Known(Rc<Answer>),
    Asked(Rc<Question>),
}

/// A question that was not answered yet.
#[derive(Debug, Default)]
struct Question {
    outcome: RefCell<Option<Result<Rc<Answer>, Refused>>>,
    /// `max_pending_requests` bounds them.
    waiting: RefCell<Vec<Option<Waker>>>,
}

impl LocalNames {
    pub(crate) fn new(worker: usize, page: &Arc<Page>, line: NameLine) -> (Self, Receiver<Told>) {
        let NameLine { asks, bell, told } = line;
        let names = Self { worker, page: Arc::clone(page), asks, bell, caches: RefCell::default() };
        (names, told)
    }

    /// Takes in what became of a name; `true` when it is not kept any more.
    pub(crate) fn hear(&self, told: &Told) -> bool {
        let Some(local) = self.known(&told.cache) else { return false };
        let mut entries = local.entries.borrow_mut();
        let Some(entry) = entries.get_mut(told.key.as_bytes()) else { return false };
        let outcome = match &told.news {
            News::Known(answer) | News::Passing(answer) => Ok(Rc::new(Answer::clone(answer))),
            News::Refused | News::Gone => Err(Refused::Hosts),
        };
        let next = outcome.clone().ok().filter(|_| matches!(told.news, News::Known(_)));
        let gone = next.is_none();
        let before = match next {
            Some(answer) => Some(std::mem::replace(&mut entry.state, State::Known(answer))),
            None => entries.remove(told.key.as_bytes()).map(|entry| entry.state),
        };
        drop(entries);
        if let Some(State::Asked(question)) = before {
            question.answer(outcome);
        }
        gone
    }

    /// Marks what is in use without being looked up.
    pub(crate) fn mark(&self, cache: &Arc<NameCache>, key: &[u8]) {
        if let Some(local) = self.known(cache)
            && let Some(entry) = local.entries.borrow().get(key)
        {
            entry.touch.mark(cache.ms(ringway_runtime::now()));
        }
    }

    /// Forgets the caches that nothing of the configuration names any more.
    pub(crate) fn forget_unused(&self) {
        self.caches.borrow_mut().retain(|local| local.cache.strong_count() > 0);
    }

    fn known(&self, cache: &Arc<NameCache>) -> Option<Rc<LocalCache>> {
        let caches = self.caches.borrow();
        caches.iter().find(|local| local.is_of(cache)).map(Rc::clone)
    }

    fn local(&self, cache: &Arc<NameCache>) -> Rc<LocalCache> {
        self.known(cache).unwrap_or_else(|| {
            let entries = RefCell::default();
            let local = Rc::new(LocalCache { cache: Arc::downgrade(cache), entries });
            self.caches.borrow_mut().push(Rc::clone(&local));
            local
        })
    }

    /// Asks for a name, or waits with those who have asked for it.
    fn ask(&self, local: &LocalCache, cache: &Arc<NameCache>, authority: &Authority<'_>) -> Lookup {
        let Some(permit) = cache.pending.permit() else {
            self.refuse(cache);
            return Lookup::Refused(Refused::Pending);
        };
        if let Some(question) = authority.with_key(|key| local.question(key)) {
            return Lookup::Asked(question.wait(permit));
        }
        let Some(host) = authority.to_name() else {
            // Not worth a place in the table.
            cache.count(&self.page, |stats| stats.dns_query_attempt);
            cache.count(&self.page, |stats| stats.dns_query_failure);
            return Lookup::Known(Rc::new(Answer::malformed()));
        };
        // Whether there is room for one more is up to the control thread: another worker may have
        // asked for this one.
        let touch = Touch::new(cache.ms(ringway_runtime::now()));
        let key = Box::from(host.key.as_bytes());
        let known = cache.at_once(&host).map(Rc::new);
        let ask = Ask { worker: self.worker, cache: Arc::clone(cache), host, touch: touch.clone() };
        if self.asks.send(ask).is_err() {
            self.refuse(cache);
            return Lookup::Refused(Refused::Pending);
        }
        self.bell.ring();
        if let Some(answer) = known {
            let state = State::Known(Rc::clone(&answer));
            local.entries.borrow_mut().insert(key, Entry { state, touch });
            return Lookup::Known(answer);
        }
        let question = Rc::new(Question::default());
        let state = State::Asked(Rc::clone(&question));
        local.entries.borrow_mut().insert(key, Entry { state, touch });
        Lookup::Asked(question.wait(permit))
    }
}

impl Names for LocalNames {
    fn look_up(&self, cache: &Arc<NameCache>, authority: &Authority<'_>) -> Lookup {
        let local = self.local(cache);
        match authority.with_key(|key| local.answer(cache, key)) {
            Some(answer) => Lookup::Known(answer),
            None => self.ask(&local, cache, authority),
        }
    }

    fn refuse(&self, cache: &NameCache) {
        cache.count(&self.page, |stats| stats.dns_rq_pending_overflow);
    }
}

impl LocalCache {
    fn is_of(&self, cache: &Arc<NameCache>) -> bool {
        std::ptr::eq(self.cache.as_ptr(), Arc::as_ptr(cache))
    }

    fn answer(&self, cache: &NameCache, key: &[u8]) -> Option<Rc<Answer>> {
        let entries = self.entries.borrow();
        let entry = entries.get(key)?;
        let State::Known(answer) = &entry.state else { return None };
        entry.touch.mark(cache.ms(ringway_runtime::now()));
        Some(Rc::clone(answer))
    }

    fn question(&self, key: &[u8]) -> Option<Rc<Question>> {
        match &self.entries.borrow().get(key)?.state {
            State::Asked(question) => Some(Rc::clone(question)),
            State::Known(_) => None,
        }
    }
}

impl Question {
    fn answer(&self, outcome: Result<Rc<Answer>, Refused>) {
        *self.outcome.borrow_mut() = Some(outcome);
        for waker in self.waiting.take().into_iter().flatten() {
            waker.wake();
        }
    }

    /// Waits for the answer, as one of those who may.
    fn wait(self: Rc<Self>, permit: Permit) -> Asking {
        let place = Place { question: self, at: Cell::new(None) };
        Box::pin(async move {
            let _permit = permit;
            std::future::poll_fn(|cx| place.poll(cx)).await
        })
    }
}

/// One who waits for an answer.
struct Place {
    question: Rc<Question>,
    at: Cell<Option<usize>>,
}

impl Place {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<Rc<Answer>, Refused>> {
        if let Some(outcome) = &*self.question.outcome.borrow() {
            return Poll::Ready(outcome.clone());
        }
        let mut waiting = self.question.waiting.borrow_mut();
        let waker = Some(cx.waker().clone());
        match self.at.get().and_then(|at| waiting.get_mut(at)) {
            Some(place) => *place = waker,
            None => {
                // Those who gave up have left their places.
                let free = waiting.iter().position(Option::is_none);
                let at = free.unwrap_or(waiting.len());
                match free {
                    Some(at) => waiting[at] = waker,
                    None => waiting.push(waker),
                }
                self.at.set(Some(at));
            }
        }
        Poll::Pending
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.question.waiting.borrow_mut();
        if let Some(place) = self.at.get().and_then(|at| waiting.get_mut(at)) {
            *place = None;
        }
    }
}
