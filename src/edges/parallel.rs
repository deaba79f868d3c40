//! Several things at once.

use super::costs::Meter;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Locks. That a thread panicked while it held the lock is the end of its own work: nothing here is left half changed.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does something for every item, `workers` at a time, and gives the results in the items' order.
pub fn in_parallel<T: Send, R: Send>(workers: usize, items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let count = items.len();
    if count < 2 {
        return items.into_iter().map(work).collect();
    }
    let queue = Mutex::new(items.into_iter().enumerate());
    let done = Mutex::new(Vec::with_capacity(count));
    let meter = Meter::current();
    let go_on = || loop {
        // Not a `while let`: the lock must not be held during the work.
        let next = locked(&queue).next();
        let Some((at, item)) = next else { break };
        let result = work(item);
        locked(&done).push((at, result));
    };
    std::thread::scope(|scope| {
        for _ in 0..workers.min(count) {
            scope.spawn(|| meter.during(go_on));
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// How much of what takes a processor and much memory goes on at once, however much waits for a network or a build.
#[derive(Debug)]
pub struct Permits {
    all: Free,
    free: Mutex<Free>,
    given_back: Condvar,
}

/// What is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Free {
    processors: usize,
    bytes: u64,
}

/// How many bytes of unpacked crates are looked at together. One that is larger is looked at alone.
const MEMORY: u64 = 32 << 20;

impl Default for Permits {
    fn default() -> Self {
        Self::of(std::thread::available_parallelism().map_or(1, usize::from), MEMORY)
    }
}

impl Permits {
    fn of(processors: usize, bytes: u64) -> Self {
        let all = Free { processors, bytes };
        Self { all, free: Mutex::new(all), given_back: Condvar::new() }
    }

    /// Does something with this many bytes of unpacked crates once there is room for it.
    pub fn with<T>(&self, bytes: u64, work: impl FnOnce() -> T) -> T {
        let bytes = bytes.min(self.all.bytes);
        let mut free = locked(&self.free);
        while free.processors == 0 || free.bytes < bytes {
            free = self.given_back.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        free.processors -= 1;
        free.bytes -= bytes;
        drop(free);
        // Given back however the work ends.
        let _permit = Permit { of: self, bytes };
        work()
    }
}

struct Permit<'a> {
    of: &'a Permits,
    bytes: u64,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut free = locked(&self.of.free);
        free.processors += 1;
        free.bytes += self.bytes;
        self.of.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parallel_work_keeps_the_order() {
        let squares = in_parallel(4, (0..100).collect(), |n: u32| n * n);
        assert_eq!(squares, (0..100).map(|n| n * n).collect::<Vec<_>>());
        assert!(in_parallel(4, Vec::<u32>::new(), |n| n).is_empty());
    }

    #[test]
    fn no_more_goes_on_than_there_is_room_for() {
        use std::sync::atomic::{AtomicU64, Ordering};
        let (now, most) = (AtomicU64::new(0), AtomicU64::new(0));
        let permits = Permits::of(4, 100);
        in_parallel(8, (0..64).collect(), |number: u64| {
            // Some are larger than all the room: they go on alone.
            let bytes = if number.is_multiple_of(8) { 1000 } else { 40 };
            permits.with(bytes, || {
                most.fetch_max(bytes + now.fetch_add(bytes, Ordering::SeqCst), Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(1));
                now.fetch_sub(bytes, Ordering::SeqCst);
            });
        });
        assert_eq!(most.into_inner(), 1000);
        assert_eq!(*permits.free.lock().unwrap(), permits.all);
        let (now, most) = (AtomicU64::new(0), AtomicU64::new(0));
        in_parallel(8, (0..64).collect(), |_: u64| {
            permits.with(1, || {
                most.fetch_max(1 + now.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(1));
                now.fetch_sub(1, Ordering::SeqCst);
            });
        });
        assert_eq!(most.into_inner(), 4);
    }
}
