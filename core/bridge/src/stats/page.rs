//! The memory that one thread counts in.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::histogram::Histogram;
use super::{CounterId, GaugeId, HistogramId};

/// Slots per chunk; chunks are allocated when their first slot is used.
const CHUNK: usize = 1024;
/// Chunks per page: 4 million scalars, enough for 40,000 clusters.
const CHUNKS: usize = 4096;

type Slots = OnceLock<Box<[AtomicU64]>>;
type Histograms = OnceLock<Box<[OnceLock<Box<Histogram>>]>>;

/// One thread's statistics. Only that thread may call the methods that change it: two writers
/// would lose counts (never memory safety).
#[derive(Debug)]
pub struct Page {
    scalars: Box<[Slots]>,
    histograms: Box<[Histograms]>,
}

/// The most slots of one kind: registrations beyond it share the last slot.
pub(super) const SLOTS_MAX: u32 = (CHUNK * CHUNKS) as u32 - 1;

impl Default for Page {
    fn default() -> Self {
        Self {
            scalars: (0..CHUNKS).map(|_| OnceLock::new()).collect(),
            histograms: (0..CHUNKS).map(|_| OnceLock::new()).collect(),
        }
    }
}

impl Page {
    /// Adds `n` to a counter.
    #[inline]
    pub fn add(&self, id: CounterId, n: u64) {
        self.bump(id.0, n);
    }

    /// Adds one to a counter.
    #[inline]
    pub fn inc(&self, id: CounterId) {
        self.bump(id.0, 1);
    }

    /// Raises a gauge by `n`.
    #[inline]
    pub fn raise(&self, id: GaugeId, n: u64) {
        self.bump(id.0, n);
    }

    /// Lowers a gauge by `n`; pages are summed with wrapping arithmetic, so a gauge may be raised
    /// on one thread and lowered on another.
    #[inline]
    pub fn lower(&self, id: GaugeId, n: u64) {
        self.bump(id.0, n.wrapping_neg());
    }

    /// Sets a gauge that only this thread writes.
    pub fn set(&self, id: GaugeId, value: u64) {
        self.slot(id.0).store(value, Ordering::Relaxed);
    }

    /// Counts one value, in the unit of the histogram (milliseconds unless its name says else).
    #[inline]
    pub fn record(&self, id: HistogramId, value: u64) {
        self.histogram_slot(id.0).get_or_init(Box::default).record(value);
    }

    /// What this thread counted in a slot.
    pub(super) fn scalar(&self, slot: u32) -> u64 {
        let (chunk, index) = place(slot);
        self.scalars[chunk].get().map_or(0, |slots| slots[index].load(Ordering::Relaxed))
    }

    /// What this thread recorded in a histogram, if anything.
    pub(super) fn histogram(&self, slot: u32) -> Option<&Histogram> {
        let (chunk, index) = place(slot);
        self.histograms[chunk].get()?[index].get().map(Box::as_ref)
    }

    #[inline]
    fn bump(&self, slot: u32, n: u64) {
        let slot = self.slot(slot);
        slot.store(slot.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    #[inline]
    fn slot(&self, slot: u32) -> &AtomicU64 {
        let (chunk, index) = place(slot);
        &self.scalars[chunk].get_or_init(|| (0..CHUNK).map(|_| AtomicU64::new(0)).collect())[index]
    }

    #[inline]
    fn histogram_slot(&self, slot: u32) -> &OnceLock<Box<Histogram>> {
        let (chunk, index) = place(slot);
        &self.histograms[chunk].get_or_init(|| (0..CHUNK).map(|_| OnceLock::new()).collect())[index]
    }
}

#[inline]
fn place(slot: u32) -> (usize, usize) {
    let slot = slot as usize;
    (slot / CHUNK, slot % CHUNK)
}
