//! Strangers' text: shown, it stays on its line, moves nothing, and is no command.

use recrate::model::foreign::Foreign;

/// Drives it.
pub fn run(text: &str) {
    let shown = Foreign::from(text).to_string();
    assert!(shown.chars().all(|c| c == '\t' || !c.is_control()));
    let unseen =
        ['\u{200b}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{feff}', '\u{2028}'];
    assert!(!shown.contains(unseen));
    assert!(!shown.trim_start().starts_with("::") && !shown.contains("##[") && !shown.contains("##vso["));
    assert_eq!(Foreign::from(shown.as_str()).to_string(), shown);
}
