//! Memory of the process as a whole.

/// Gives memory that nobody uses back to the system, all that the C library has kept for later. It
/// looks at all pages, which takes milliseconds when there are many.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes the allocator's own locks, and touches nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}
