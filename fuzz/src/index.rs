//! Index files: every line is read or left out, and keeps its bytes.

use recrate::stages::index::read_index;

/// Drives it.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lines = read_index(bytes);
    assert!(lines.len() <= text.lines().count());
    for line in &lines {
        assert!(text.lines().any(|raw| *raw == *line.raw));
        let _ = line.requirements();
    }
}
