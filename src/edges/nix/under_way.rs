//! Nix's processes that build: whoever is interrupted stops them.

use std::collections::BTreeSet;
use std::sync::Mutex;

use rustix::process::{Pid, Signal, kill_process};

use crate::edges::parallel::locked;

/// The processes of Nix that build.
static BUILDING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Some of them, until they have ended.
pub struct UnderWay(Vec<u32>);

impl UnderWay {
    /// Notes processes.
    pub fn of(pids: Vec<u32>) -> Self {
        locked(&BUILDING).extend(&pids);
        Self(pids)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut building = locked(&BUILDING);
        building.retain(|pid| !self.0.contains(pid));
    }
}

/// Has Nix stop whatever it builds, as ^C in its own terminal would.
pub fn stop_builds() {
    for pid in locked(&BUILDING).iter().filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?)) {
        // One that has ended needs no stopping.
        let _ = kill_process(pid, Signal::INT);
    }
}
