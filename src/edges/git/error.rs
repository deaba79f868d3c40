//! Why a commit can't be had.

use std::sync::Arc;

use crate::model::commit::CommitId;
use crate::model::digest::Sha256;
use crate::stages::claims::{Cause, Missing};

/// Why a commit can't be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The repository is not there, or not public: a finding about the crate.
    #[error("{0}")]
    NoRepository(String),
    /// The repository does not have the commit or a part of it: a finding about the crate.
    #[error("{0}")]
    NoCommit(String),
    /// The repository has ids of another kind than SHA-1.
    #[error("{0} has SHA-256 ids; recrate supports SHA-1 repositories only")]
    Sha256(String),
    /// The commit is something that this program does not unpack.
    #[error("the commit is refused: {0}")]
    Refused(String),
    /// The repository could not be asked.
    #[error("failed to fetch from {url}: {reason}")]
    Unreachable {
        /// The address that was asked.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// It is not cached, and the network must not be used.
    #[error("commit {0} is not cached, and --offline is set")]
    Offline(CommitId),
    /// An LFS object is not cached, and the network must not be used.
    #[error("LFS object {0} is not cached, and --offline is set")]
    OfflineObject(Sha256),
    /// A file operation failed.
    #[error(transparent)]
    File(Arc<std::io::Error>),
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::File(Arc::new(error))
    }
}

impl Error {
    /// What a server's reason comes to.
    #[must_use]
    pub fn of_server(address: &str, reason: String) -> Self {
        if is_not_there(&reason) {
            Self::NoRepository(format!("{address} is not there, or not public"))
        } else if reason.to_ascii_lowercase().contains("sha256") {
            Self::Sha256(address.to_owned())
        } else {
            Self::Unreachable { url: address.to_owned(), reason }
        }
    }

    /// Why a crate can't be rebuilt that needs this: that it is not there is a finding, everything else is not.
    #[must_use]
    pub fn cause(&self) -> Cause {
        let reason = self.to_string();
        let missing = match self {
            Self::NoRepository(_) => Missing::RepositoryAtAddress,
            Self::NoCommit(_) => Missing::Commit,
            Self::Sha256(_) => Missing::Sha1Ids,
            Self::Refused(_) => Missing::AcceptableCommit,
            Self::Unreachable { .. } | Self::Offline(_) | Self::OfflineObject(_) | Self::File(_) => {
                return Cause::Error { reason: reason.into() };
            }
        };
        Cause::Impossible { missing, reason: reason.into() }
    }
}

/// What a request ends with where the server has no such public repository: code hosts ask for a password rather than admit
/// that there is nothing.
#[must_use]
pub fn is_not_there(reason: &str) -> bool {
    ["No credentials were returned", "HTTP status 401", "401 Unauthorized", "403 Forbidden", "404 Not Found"]
        .iter()
        .any(|words| reason.contains(words))
}

/// An id as the library has it.
#[must_use]
pub fn object_id(id: CommitId) -> gix::ObjectId {
    gix::ObjectId::Sha1(id.0)
}

/// That something of a repository is refused.
pub fn refused(error: impl std::fmt::Display) -> Error {
    Error::Refused(error.to_string())
}
