//! How the allocator keeps memory.

/// Gives memory back to the system as soon as it is not needed. Left to itself glibc keeps a heap for each of the many threads
/// that wait for networks and builds, each as large as the largest crate that the thread ever looked at: two thirds of a run's
/// memory, and a fifth of its processor time.
pub fn give_back_early() {
    #[cfg(target_env = "gnu")]
    {
        const SMALL: libc::c_int = 128 << 10;
        let set = |parameter, value| {
            // SAFETY: mallopt takes any parameter and value, and says no to those that it does not know.
            #[expect(unsafe_code, reason = "glibc's own interface")]
            unsafe {
                libc::mallopt(parameter, value)
            }
        };
        set(libc::M_ARENA_MAX, 2);
        set(libc::M_MMAP_THRESHOLD, SMALL);
        set(libc::M_TRIM_THRESHOLD, SMALL);
    }
}
