//! The network, as a value: whoever holds it may use it. Offline, nobody holds one.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::blocking::{Client, ClientBuilder, RequestBuilder};
use reqwest::header::{ACCEPT, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use rustls::ClientConfig;
use rustls_platform_verifier::ConfigVerifierExt as _;

/// What a file of the registry may be at most, in bytes: far above the registry's own limit.
const BODY_LIMIT: u64 = 256 << 20;
/// How often a request is made before it counts as failed.
const TRIES: u32 = 3;
/// How long a connection may take, and how long a silent server is listened to.
const PATIENCE: Duration = Duration::from_secs(30);

/// Leave to use the network.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// Made when it is first used: reading the system's certificates takes longer than a run that needs none.
    client: Arc<OnceLock<Result<Client, String>>>,
}

/// A request that failed for good.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer, or half of one.
    #[error("failed to fetch {url}: {reason}")]
    Failed {
        /// What was asked for.
        url: String,
        /// Why there is no answer.
        reason: String,
    },
    /// An answer larger than any that is expected.
    #[error("{url} is larger than {BODY_LIMIT} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
    },
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Here it is.
    Body {
        /// The content.
        bytes: Vec<u8>,
        /// The tag to ask with next time.
        etag: Option<String>,
    },
    /// What the asker has is still right.
    NotModified,
    /// There is no such thing.
    Absent,
}

impl Network {
    /// Takes leave to use the network; none where `offline`.
    #[must_use]
    pub fn acquire(offline: bool) -> Option<Self> {
        // gix makes clients of its own, which need a provider, too. That there is one already is no fault.
        let _ = rustls::crypto::ring::default_provider().install_default();
        (!offline).then(Self::default)
    }

    fn client(&self) -> Result<&Client, String> {
        let made = self.client.get_or_init(|| {
            with_certificates(Client::builder())
                .user_agent(concat!("recrate/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(PATIENCE)
                .timeout(PATIENCE * 10)
                .build()
                .map_err(|error| chain(&error))
        });
        made.as_ref().map_err(Clone::clone)
    }

    /// Fetches `url`, unless it still has `etag`.
    ///
    /// # Errors
    /// Where it can't be had after several tries.
    pub fn get(&self, url: &str, etag: Option<&str>) -> Result<Answer, Error> {
        self.ask(url, |client| {
            let request = client.get(url);
            if let Some(etag) = etag { request.header(IF_NONE_MATCH, etag) } else { request }
        })
    }

    /// Fetches `url` with these header fields.
    ///
    /// # Errors
    /// Where it can't be had after several tries.
    pub fn get_with(&self, url: &str, fields: &BTreeMap<String, String>) -> Result<Answer, Error> {
        self.ask(url, |client| {
            fields.iter().fold(client.get(url), |request, (name, value)| request.header(name, value))
        })
    }

    /// Sends a `POST` to `url`: a body of a media type, which the answer is to have, too, or nothing.
    ///
    /// # Errors
    /// Where it can't be sent after several tries.
    pub fn post(&self, url: &str, body: Option<(&str, &[u8])>) -> Result<Answer, Error> {
        self.ask(url, |client| match body {
            Some((media, body)) => {
                client.post(url).header(CONTENT_TYPE, media).header(ACCEPT, media).body(body.to_owned())
            }
            None => client.post(url),
        })
    }

    fn ask(&self, url: &str, request: impl Fn(&Client) -> RequestBuilder) -> Result<Answer, Error> {
        let client = self.client().map_err(|reason| Error::Failed { url: url.to_owned(), reason })?;
        let mut reason = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                std::thread::sleep(Duration::from_millis(300) * attempt);
            }
            let response = match request(client).send() {
                Ok(response) => response,
                Err(error) => {
                    reason = chain(&error);
                    continue;
                }
            };
            match response.status() {
                StatusCode::OK => {}
                StatusCode::NOT_MODIFIED => return Ok(Answer::NotModified),
                // The registry's own words for "no such crate": see the sparse index's documentation.
                StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => {
                    return Ok(Answer::Absent);
                }
                status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
                    reason = format!("the server says {status}");
                    break;
                }
                status => {
                    reason = format!("the server says {status}");
                    continue;
                }
            }
            let etag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
            let mut bytes = Vec::new();
            match response.take(BODY_LIMIT + 1).read_to_end(&mut bytes) {
                Ok(length) if length as u64 > BODY_LIMIT => return Err(Error::TooLarge { url: url.to_owned() }),
                Ok(_) => return Ok(Answer::Body { bytes, etag }),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(Error::Failed { url: url.to_owned(), reason })
    }

    /// Whether a server answers at all, asked once and with little patience.
    #[must_use]
    pub fn reaches(&self, url: &str) -> bool {
        let Ok(client) = self.client() else { return false };
        let asked = client.head(url).timeout(Duration::from_secs(5)).send();
        asked.is_ok_and(|response| response.status().is_success())
    }
}

/// TLS with the system's certificates: reading them takes longer than many a request, and each client would do it again. None
/// where they can't be read: then clients say so themselves.
static TLS: LazyLock<Option<ClientConfig>> = LazyLock::new(|| {
    let mut config = ClientConfig::with_platform_verifier().ok()?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Some(config)
});

/// A client that knows the system's certificates.
pub(super) fn with_certificates(client: ClientBuilder) -> ClientBuilder {
    match TLS.as_ref() {
        Some(config) => client.tls_backend_preconfigured(config.clone()),
        None => client,
    }
}

/// An error and what caused it, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}
