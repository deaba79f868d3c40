//! How a publisher's git checked a commit out.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// How files were checked out; the default is what git does on Unix.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checkout {
    /// Which text files have CRLF line endings.
    pub crlf: Crlf,
    /// Which files are executable.
    pub executables: Executables,
    /// Without `core.symlinks`: a link is a file that holds its target.
    pub links_as_text: bool,
}

/// Which text files have CRLF line endings that the commit has not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crlf {
    /// None.
    #[default]
    None,
    /// All that git takes for text, as with `core.autocrlf`.
    All,
    /// These, relative to the repository. git leaves a file that was written after the checkout as it is, so the rest
    /// have LF.
    Files(BTreeSet<String>),
}

/// Which files are executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Executables {
    /// Those of the commit.
    #[default]
    AsCommitted,
    /// None: Windows has no such bit.
    None,
    /// All: a Windows file system under Linux.
    All,
}

/// Whether git converts line endings of a file that no attribute speaks of: it has lines, none of them ends with CR
/// already, and it is not binary. After git's own `convert.c`: `gather_stats`, `convert_is_binary`,
/// `will_convert_lf_to_crlf`.
#[must_use]
pub fn is_converted(body: &[u8]) -> bool {
    // A final Ctrl-Z is the end of a DOS text.
    let text = body.strip_suffix(b"\x1a").unwrap_or(body);
    let odd = |byte: &u8| matches!(byte, 0..=7 | 11 | 14..=26 | 28..=31 | 127);
    let nonprintable = text.iter().filter(|byte| odd(byte)).count();
    let printable = text.iter().filter(|byte| !odd(byte) && !matches!(byte, b'\r' | b'\n')).count();
    text.contains(&b'\n') && !text.contains(&b'\r') && !text.contains(&0) && (printable >> 7) >= nonprintable
}
