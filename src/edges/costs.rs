//! What a package takes: time in each phase, and bytes that servers send for it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::DecimalBytes;

/// What is done for a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its crate, commit and index files are fetched and read.
    Fetching,
    /// It is built, or waits for Nix.
    Building,
    /// What came of it is compared.
    Judging,
}

/// Counts bytes that servers send.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<AtomicU64>);

thread_local! {
    /// What this thread receives is for whom.
    static CURRENT: RefCell<Meter> = RefCell::default();
}

impl Meter {
    /// The one that counts in this thread: threads that work for it go on with it.
    #[must_use]
    pub fn current() -> Self {
        CURRENT.with_borrow(Self::clone)
    }

    /// Counts here while something is done.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = CURRENT.replace(self.clone());
        let done = work();
        CURRENT.set(before);
        done
    }

    /// Counts bytes in this thread.
    pub fn received(bytes: usize) {
        CURRENT.with_borrow(|meter| meter.0.fetch_add(bytes as u64, Ordering::Relaxed));
    }

    /// How many bytes were counted.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one package takes. Waiting for what packages share is part of it; its bytes are those of the package that asked first.
#[derive(Debug, Default)]
pub struct Costs {
    meter: Meter,
    took: [Cell<Duration>; 3],
    builds: Cell<usize>,
}

impl Costs {
    /// Adds what something takes.
    pub fn during<T>(&self, phase: Phase, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = self.meter.during(work);
        let took = &self.took[phase as usize];
        took.set(took.get() + begun.elapsed());
        self.builds.set(self.builds.get() + usize::from(phase == Phase::Building));
        done
    }

    /// How many bytes servers sent.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.meter.bytes()
    }
}

impl fmt::Display for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [fetching, building, judging] = [0, 1, 2].map(|at: usize| self.took[at].get().as_secs_f64());
        write!(f, "fetched in {fetching:.1} s, {} received", DecimalBytes(self.bytes()))?;
        match self.builds.get() {
            0 => return Ok(()),
            1 => write!(f, "; 1 build in {building:.1} s")?,
            builds => write!(f, "; {builds} builds in {building:.1} s")?,
        }
        write!(f, "; judged in {judging:.1} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edges::parallel::in_parallel;

    #[test]
    fn what_threads_receive_for_a_package_is_the_packages() {
        let (one, other) = (Costs::default(), Costs::default());
        one.during(Phase::Fetching, || {
            Meter::received(1);
            in_parallel(2, vec![10, 100], Meter::received);
            other.during(Phase::Judging, || Meter::received(1000));
            Meter::received(10_000);
        });
        Meter::received(100_000);
        assert_eq!((one.bytes(), other.bytes()), (10_111, 1000));
        assert_eq!(one.to_string(), "fetched in 0.0 s, 10.11 kB received");
        other.during(Phase::Building, || ());
        assert_eq!(other.to_string(), "fetched in 0.0 s, 1.00 kB received; 1 build in 0.0 s; judged in 0.0 s");
    }
}
