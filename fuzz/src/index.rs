//! Index files: every line is read or left out, and keeps its bytes.

use recrate::stages::index::{raw, read_index};

/// Drives it.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lines = read_index(bytes);
    assert!(lines.len() <= text.lines().count());
    for (line, raw) in raw(lines.iter()) {
        assert!(text.lines().any(|line| *line == raw));
        let _ = line.requirements();
    }
}
