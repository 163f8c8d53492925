//! Memory of the process as a whole.

/// Gives memory that nobody uses back to the system, all that the allocator has kept for later.
/// It looks through all of it, which takes time in proportion.
pub fn give_back() {
    // SAFETY: it takes the allocator's own locks, and touches nothing that is in use.
    unsafe { libc::malloc_trim(0) };
}
