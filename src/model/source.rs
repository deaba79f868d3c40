//! Where a crate comes from: repository address, commit, folder.
//!
//! All of it is written by strangers. What can't be said safely to git or to a file system has no value here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;

use super::digest::decode_hex;
use crate::builder::further::Reference;

/// A git commit's id: 20 bytes. No branch and no tag fits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(pub [u8; 20]);

impl CommitId {
    /// The first ten digits, as people say them.
    #[must_use]
    pub fn short(self) -> String {
        self.to_string()[..10].to_owned()
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommitId({self})")
    }
}

/// Text that is no commit id, address or folder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSource {
    /// Not 40 hex digits.
    #[error("`{0}` is no git commit id")]
    Commit(String),
    /// Not an address that git is let loose on.
    #[error("`{0}` is not an https address of a repository")]
    Repository(String),
    /// Not a folder inside a repository.
    #[error("`{0}` is not a folder inside a repository")]
    SubPath(String),
}

impl FromStr for CommitId {
    type Err = BadSource;

    fn from_str(text: &str) -> Result<Self, BadSource> {
        decode_hex(text).map(Self).ok_or_else(|| BadSource::Commit(text.to_owned()))
    }
}

impl TryFrom<String> for CommitId {
    type Error = BadSource;

    fn try_from(text: String) -> Result<Self, BadSource> {
        text.parse()
    }
}

impl From<CommitId> for String {
    fn from(id: CommitId) -> Self {
        id.to_string()
    }
}

/// The canonical address of a repository: `https://host/path`, no trailing `.git`, no user, no port but a given one,
/// no query. Every other transport of git's is refused: some run programs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryUrl(String);

/// Path parts that code hosts put behind a repository's own address.
const VIEWS: [&str; 5] = ["tree", "blob", "src", "-", "commit"];

/// Hosts on which a repository is always `host/owner/name`.
const TWO_PART_HOSTS: [&str; 4] = ["github.com", "codeberg.org", "bitbucket.org", "git.sr.ht"];

impl RepositoryUrl {
    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RepositoryUrl {
    type Err = BadSource;

    /// Normalises what authors write: `http:`, `git:` and `ssh:` become `https:`, `www.`, a trailing `.git` or slash
    /// and the path of a view (`/tree/main/sub`) are cut. Who wants a repository over ssh says so with a mirror rule.
    fn from_str(text: &str) -> Result<Self, BadSource> {
        let bad = || BadSource::Repository(text.to_owned());
        let text = text.trim();
        let text = text.strip_prefix("git+").unwrap_or(text);
        // `git@host:owner/name` is ssh's way of writing it.
        let scp = text.strip_prefix("git@").and_then(|rest| rest.split_once(':'));
        let rewritten = scp.map(|(host, path)| format!("ssh://git@{host}/{path}"));
        let text = rewritten.as_deref().unwrap_or(text);
        let url = Url::parse(text).map_err(|_| bad())?;
        if !matches!(url.scheme(), "https" | "http" | "git" | "ssh") || url.password().is_some() {
            return Err(bad());
        }
        let host = url.host_str().ok_or_else(bad)?.trim_start_matches("www.").to_ascii_lowercase();
        let parts: Vec<&str> = url.path().split('/').filter(|part| !part.is_empty()).collect();
        let length = if TWO_PART_HOSTS.contains(&host.as_str()) {
            parts.len().min(2)
        } else {
            parts.iter().skip(2).position(|part| VIEWS.contains(part)).map_or(parts.len(), |at| at + 2)
        };
        let path = parts[..length].join("/");
        let path = path.strip_suffix(".git").unwrap_or(&path);
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/%+".contains(&byte);
        if host.is_empty()
            || host.starts_with('-')
            || length < 2
            || !path.bytes().all(legal)
            || path.split('/').any(|part| part.is_empty() || part.starts_with('-') || part.starts_with('.'))
        {
            return Err(bad());
        }
        // Another transport's port says nothing of https.
        let port = url.port().filter(|_| url.scheme() == "https").map_or(String::new(), |port| format!(":{port}"));
        Ok(Self(format!("https://{host}{port}/{path}")))
    }
}

impl TryFrom<String> for RepositoryUrl {
    type Error = BadSource;

    fn try_from(text: String) -> Result<Self, BadSource> {
        text.parse()
    }
}

impl From<RepositoryUrl> for String {
    fn from(url: RepositoryUrl) -> Self {
        url.0
    }
}

/// Where a lock file takes a package from git.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GitSource {
    /// The address, as the lock file has it.
    pub url: String,
    /// What the manifest asks for.
    pub reference: Reference,
    /// The commit that it is locked to.
    pub commit: CommitId,
}

/// A folder inside a repository: relative, `/` between the parts, none of them `.`, `..` or `.git`; empty for the
/// root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubPath(String);

impl SubPath {
    /// The folder as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A file in this folder.
    #[must_use]
    pub fn join(&self, name: &str) -> String {
        if self.0.is_empty() { name.to_owned() } else { format!("{}/{name}", self.0) }
    }

    /// The folders above this one, nearest first, the root last; none for the root itself.
    #[must_use]
    pub fn ancestors(&self) -> Vec<Self> {
        let mut ancestors = Vec::new();
        let mut rest = self.0.as_str();
        while !rest.is_empty() {
            rest = rest.rsplit_once('/').map_or("", |(parent, _)| parent);
            ancestors.push(Self(rest.to_owned()));
        }
        ancestors
    }
}

impl fmt::Display for SubPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "." } else { &self.0 })
    }
}

impl FromStr for SubPath {
    type Err = BadSource;

    fn from_str(text: &str) -> Result<Self, BadSource> {
        let bad = || BadSource::SubPath(text.to_owned());
        if text.starts_with('/') || text.bytes().any(|byte| byte < b' ' || byte == b'\\') || text.len() > 4096 {
            return Err(bad());
        }
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.iter().any(|part| *part == ".." || part.eq_ignore_ascii_case(".git")) {
            return Err(bad());
        }
        Ok(Self(parts.join("/")))
    }
}

impl TryFrom<String> for SubPath {
    type Error = BadSource;

    fn try_from(text: String) -> Result<Self, BadSource> {
        text.parse()
    }
}

impl From<SubPath> for String {
    fn from(path: SubPath) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> Option<String> {
        text.parse::<RepositoryUrl>().ok().map(String::from)
    }

    #[test]
    fn what_authors_write_becomes_one_address() {
        for text in [
            "https://github.com/dtolnay/itoa",
            "http://www.github.com/dtolnay/itoa/",
            "https://github.com/dtolnay/itoa.git",
            "https://GitHub.com/dtolnay/itoa/tree/master/sub/folder",
            "git://github.com/dtolnay/itoa",
            "git+https://github.com/dtolnay/itoa.git#main",
            "ssh://git@github.com/dtolnay/itoa.git",
            "ssh://git@github.com:22/dtolnay/itoa",
            "git@github.com:dtolnay/itoa.git",
            "https://github.com/dtolnay/itoa?tab=readme",
        ] {
            assert_eq!(canonical(text).as_deref(), Some("https://github.com/dtolnay/itoa"), "{text}");
        }
        assert_eq!(
            canonical("https://gitlab.com/group/sub/project/-/tree/main/x").as_deref(),
            Some("https://gitlab.com/group/sub/project")
        );
    }

    #[test]
    fn other_transports_and_options_are_refused() {
        for text in [
            "ext::sh -c touch% /tmp/x",
            "file:///etc",
            "git@-oProxyCommand=x:a/b",
            "ssh://-oProxyCommand=x/a/b",
            "--upload-pack=touch",
            "https://-x/a/b",
            "https://github.com/-oProxyCommand=x/b",
            "https://user:secret@github.com/a/b",
            "https://github.com/only-one",
            "https://github.com/a/../../b",
            "",
        ] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }

    #[test]
    fn folders_stay_inside_the_repository() {
        assert_eq!("a//b/./c/".parse::<SubPath>().unwrap().as_str(), "a/b/c");
        for text in ["/a", "a/../b", "..", "a\\b", ".git/x", "a/.GIT"] {
            assert!(text.parse::<SubPath>().is_err(), "{text}");
        }
        let ancestors = "a/b/c".parse::<SubPath>().unwrap().ancestors();
        assert_eq!(ancestors.iter().map(SubPath::as_str).collect::<Vec<_>>(), ["a/b", "a", ""]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic_and_what_they_give_is_stable(text: String) {
            let _ = text.parse::<CommitId>();
            let _ = text.parse::<SubPath>();
            if let Ok(url) = text.parse::<RepositoryUrl>() {
                assert_eq!(url.as_str().parse(), Ok(url.clone()));
            }
        }
    }
}
