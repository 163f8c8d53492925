//! Runs the same test on a worker of each kind.

use std::future::Future;
use std::sync::mpsc;

use ringway_runtime::worker::{self, Driver};

/// Runs a future on a worker of each kind (epoll, our own ring, monoio's ring: in this order) and
/// returns what it made.
pub(crate) fn on_each<T, F, Fut>(name: &str, main: F) -> Vec<T>
where
    T: Send + 'static,
    F: Fn() -> Fut + Send + Clone + 'static,
    Fut: Future<Output = T> + 'static,
{
    let mut drivers = vec![Driver::Epoll];
    match worker::detect() {
        (Driver::Epoll, why) => eprintln!("not tested on io_uring: {why}"),
        _ => drivers.extend([Driver::IoUring, Driver::Monoio]),
    }
    let run = |driver: Driver| {
        let (sender, receiver) = mpsc::channel();
        let main = main.clone();
        let body = move || async move { sender.send(main().await).expect("the test waits") };
        worker::start(format!("{name}-{driver}"), None, driver, body)
            .expect("a worker")
            .join()
            .expect("the worker ends well");
        receiver.recv().expect("a result")
    };
    drivers.into_iter().map(run).collect()
}
