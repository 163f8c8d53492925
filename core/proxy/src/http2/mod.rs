//! An HTTP/2 connection of either side: one task drives it, each stream on it is a handle.
//!
//! Owns: moving bytes between a transport and the engine (`driver`), what the two and the streams
//! share (`session`) and count (`counts`), what a stream has received and wants to send
//! (`stream`). Does not own: what a request means (`hcm`), nor who may open streams (`upstream`).

mod counts;
mod driver;
mod session;
mod stream;

pub(crate) use counts::Counts;
pub(crate) use driver::{Driver, Turn};
pub(crate) use session::{Ended, Over, Session};
pub(crate) use stream::{Accepted, Item, Stream};
