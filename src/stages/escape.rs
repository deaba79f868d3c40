//! Text that strangers wrote, made safe to show.

/// A text with its control characters escaped: what strangers wrote must not steer the terminal.
#[must_use]
pub fn visible(text: &str) -> String {
    let shown = |c: char| if c.is_control() && c != '\t' { c.escape_default().collect() } else { vec![c] };
    text.chars().flat_map(shown).collect()
}
