//! How long a program takes, and how much memory.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

pub struct Measured {
    pub output: Output,
    pub time: Duration,
    /// In MB.
    pub peak: u64,
}

/// Runs a program to its end.
pub fn measure(command: &mut Command) -> Measured {
    let start = Instant::now();
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let waiting = std::thread::spawn(move || child.wait_with_output().unwrap());
    let mut peak = 0;
    while !waiting.is_finished() {
        // The kernel keeps the peak itself: the last look is the one that counts.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let said = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = said.map_or(peak, |kilobytes| kilobytes / 1000);
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = waiting.join().unwrap();
    Measured { output, time: start.elapsed(), peak }
}
