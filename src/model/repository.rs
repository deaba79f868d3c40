//! A repository's address.
//!
//! Strangers write it. What can't be said safely to git has no value here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;

use super::commit::CommitId;

/// Text that is not an allowed repository address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an https address of a repository")]
pub struct BadRepositoryUrl(String);

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

    /// The page that the code host has of a commit; none where recrate does not know the host.
    #[must_use]
    pub fn commit_page(&self, commit: CommitId) -> Option<String> {
        let host = self.0.strip_prefix("https://")?.split('/').next()?;
        let view = match host {
            "github.com" | "codeberg.org" | "git.sr.ht" => "commit",
            "bitbucket.org" => "commits",
            _ if host == "gitlab.com" || host.starts_with("gitlab.") => "-/commit",
            _ => return None,
        };
        Some(format!("{self}/{view}/{commit}"))
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RepositoryUrl {
    type Err = BadRepositoryUrl;

    /// Normalises what authors write: `http:`, `git:` and `ssh:` become `https:`, `www.`, a trailing `.git` or slash
    /// and the path of a view (`/tree/main/sub`) are cut. Who wants a repository over ssh says so with a mirror rule.
    fn from_str(text: &str) -> Result<Self, BadRepositoryUrl> {
        let bad = || BadRepositoryUrl(text.to_owned());
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
    type Error = BadRepositoryUrl;

    fn try_from(text: String) -> Result<Self, BadRepositoryUrl> {
        text.parse()
    }
}

impl From<RepositoryUrl> for String {
    fn from(url: RepositoryUrl) -> Self {
        url.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> Option<String> {
        text.parse::<RepositoryUrl>().ok().map(String::from)
    }

    #[test]
    fn commits_have_a_page_on_known_hosts() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        for (repository, page) in [
            ("https://github.com/dtolnay/itoa", Some("https://github.com/dtolnay/itoa/commit/")),
            ("https://gitlab.com/a/b/c", Some("https://gitlab.com/a/b/c/-/commit/")),
            ("https://git.sr.ht/~a/b", Some("https://git.sr.ht/~a/b/commit/")),
            ("https://git.example/a/b", None),
        ] {
            let repository: RepositoryUrl = repository.parse().unwrap();
            assert_eq!(repository.commit_page(id.parse().unwrap()), page.map(|page| format!("{page}{id}")));
        }
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

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_what_it_gives_is_stable(text: String) {
            if let Ok(url) = text.parse::<RepositoryUrl>() {
                assert_eq!(url.as_str().parse(), Ok(url.clone()));
            }
        }
    }
}
