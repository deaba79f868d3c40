//! The network, as a value: whoever holds it may use it. Offline, nobody holds one.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use reqwest::blocking::{Client, ClientBuilder, RequestBuilder, Response};
use reqwest::header::{ACCEPT, CONTENT_TYPE, ETAG, HeaderMap, IF_NONE_MATCH, RETRY_AFTER};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{StatusCode, Url};
use rustls::ClientConfig;
use rustls_platform_verifier::ConfigVerifierExt as _;

use super::costs::Meter;
use super::parallel::locked;

/// What a crate or another large file may be at most, in bytes: far above the registry's own limit.
pub const FILE_LIMIT: u64 = 256 << 20;
/// What a file of an index may be at most, in bytes. The largest ones of the default registry have 3 MB.
pub const INDEX_LIMIT: u64 = 64 << 20;
/// Of larger bodies, in bytes, one at a time is received: all that are under way at once would fill the memory.
const LARGE: usize = 16 << 20;
/// How often a request is made before it counts as failed.
const TRIES: u32 = 4;
/// How many redirects are followed.
const REDIRECTS: usize = 5;
/// How long a connection may take, and how long a silent server is listened to: as cargo does.
const SILENCE: Duration = Duration::from_secs(30);
/// A server that sends fewer bytes in so long is as good as silent: cargo's limit, 10 bytes a second.
const SLOW: usize = 10 * SILENCE.as_secs() as usize;
/// How long everything about one question may take, unless the user says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// Leave to use the network.
#[derive(Debug, Clone)]
pub struct Network {
    /// How long one question may take, all its tries together: a file, or what a repository is asked for.
    pub patience: Duration,
    /// Who receives a large body holds it.
    large: Arc<Mutex<()>>,
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
    #[error("{url} is larger than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// What it may have.
        limit: u64,
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
    pub fn acquire(offline: bool, patience: Duration) -> Option<Self> {
        // gix makes clients of its own, which need a provider, too. That there is one already is no fault.
        let _ = rustls::crypto::ring::default_provider().install_default();
        (!offline).then(|| Self { patience, large: Arc::default(), client: Arc::default() })
    }

    fn client(&self) -> Result<&Client, String> {
        let made = self.client.get_or_init(|| {
            with_certificates(Client::builder())
                .user_agent(concat!("recrate/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(SILENCE)
                .redirect(Policy::custom(follow))
                .build()
                .map_err(|error| chain(&error))
        });
        made.as_ref().map_err(Clone::clone)
    }

    /// Fetches `url`, unless it still has `etag`; at most `limit` bytes.
    ///
    /// # Errors
    /// Where it can't be had after several tries, or is larger.
    pub fn get(&self, url: &str, etag: Option<&str>, limit: u64) -> Result<Answer, Error> {
        self.ask(url, limit, |client| {
            let request = client.get(url);
            if let Some(etag) = etag { request.header(IF_NONE_MATCH, etag) } else { request }
        })
    }

    /// Fetches `url` with these header fields.
    ///
    /// # Errors
    /// Where it can't be had after several tries.
    pub fn get_with(&self, url: &str, fields: &BTreeMap<String, String>) -> Result<Answer, Error> {
        self.ask(url, FILE_LIMIT, |client| {
            fields.iter().fold(client.get(url), |request, (name, value)| request.header(name, value))
        })
    }

    /// Sends a `POST` to `url`: a body of a media type, which the answer is to have, too, or nothing.
    ///
    /// # Errors
    /// Where it can't be sent after several tries.
    pub fn post(&self, url: &str, body: Option<(&str, &[u8])>) -> Result<Answer, Error> {
        self.ask(url, INDEX_LIMIT, |client| match body {
            Some((media, body)) => {
                client.post(url).header(CONTENT_TYPE, media).header(ACCEPT, media).body(body.to_owned())
            }
            None => client.post(url),
        })
    }

    /// Sends a request once, whatever comes of it: one that changes something must not be made twice.
    ///
    /// # Errors
    /// Where there is no answer.
    pub fn send(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, Error> {
        let url = request.uri().to_string();
        let failed = |reason: String| Error::Failed { url: url.clone(), reason };
        let client = self.client().map_err(failed)?;
        let mut request = reqwest::blocking::Request::try_from(request).map_err(|error| failed(chain(&error)))?;
        *request.timeout_mut() = Some(self.patience);
        let answer = client.execute(request).map_err(|error| failed(chain(&error)))?;
        let mut built = http::Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            built = built.header(name, value);
        }
        let body = self.receive(answer, INDEX_LIMIT).map_err(failed)?;
        let body = body.ok_or_else(|| Error::TooLarge { url: url.clone(), limit: INDEX_LIMIT })?;
        built.body(body).map_err(|error| failed(error.to_string()))
    }

    fn ask(&self, url: &str, limit: u64, request: impl Fn(&Client) -> RequestBuilder) -> Result<Answer, Error> {
        let failed = |reason: String| Error::Failed { url: url.to_owned(), reason };
        let client = self.client().map_err(failed)?;
        let end = Instant::now() + self.patience;
        let mut reason = String::new();
        let mut wait = Duration::ZERO;
        for attempt in 0..TRIES {
            let left = end.saturating_duration_since(Instant::now()).saturating_sub(wait);
            if left.is_zero() {
                return Err(failed(format!("{reason}; it was given {} s", self.patience.as_secs())));
            }
            std::thread::sleep(wait);
            wait = FIRST_PAUSE * 3_u32.pow(attempt);
            // A total: also for what comes in drops.
            let response = match request(client).timeout(left).send() {
                Ok(response) => response,
                Err(error) => {
                    reason = chain(&error);
                    if error.is_redirect() {
                        break;
                    }
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
                status => {
                    reason = format!("the server says {status}");
                    if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
                        break;
                    }
                    wait = wait.max(asked_to_wait(response.headers()));
                    continue;
                }
            }
            let etag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
            match self.receive(response, limit) {
                Ok(Some(bytes)) => return Ok(Answer::Body { bytes, etag }),
                Ok(None) => return Err(Error::TooLarge { url: url.to_owned(), limit }),
                Err(why) => reason = why,
            }
        }
        Err(failed(reason))
    }

    /// Receives a body; none where it is larger than it may be.
    fn receive(&self, mut response: Response, limit: u64) -> Result<Option<Vec<u8>>, String> {
        if response.content_length().is_some_and(|length| length > limit) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let mut part = vec![0; 64 << 10];
        let mut alone = None;
        let mut since = (Instant::now(), 0);
        loop {
            let count = response.read(&mut part).map_err(|error| chain(&error))?;
            if count == 0 {
                return Ok(Some(bytes));
            }
            Meter::received(count);
            bytes.extend_from_slice(&part[..count]);
            if bytes.len() as u64 > limit {
                return Ok(None);
            }
            if bytes.len() > LARGE && alone.is_none() {
                alone = Some(locked(&self.large));
            }
            if since.0.elapsed() > SILENCE {
                if bytes.len() - since.1 < SLOW {
                    return Err(format!("the server sent less than {SLOW} bytes in {} s", SILENCE.as_secs()));
                }
                since = (Instant::now(), bytes.len());
            }
        }
    }

    /// Whether a server answers at all, asked once and with little patience.
    #[must_use]
    pub fn reaches(&self, url: &str) -> bool {
        let Ok(client) = self.client() else { return false };
        let asked = client.head(url).timeout(Duration::from_secs(5)).send();
        asked.is_ok_and(|response| response.status().is_success())
    }
}

/// The first pause between two tries; each is three times as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(300);

/// How long a server asks to be left alone, in seconds or until a time.
fn asked_to_wait(headers: &HeaderMap) -> Duration {
    let said = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let seconds = said.parse().ok().map(Duration::from_secs);
    let until = || httpdate::parse_http_date(said).ok()?.duration_since(SystemTime::now()).ok();
    seconds.or_else(until).unwrap_or_default()
}

/// Follows a redirect to another address, of another host, too, but never out of the web, or from https to http.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let is_secure = |url: &Url| url.scheme() == "https";
    if !["http", "https"].contains(&attempt.url().scheme()) {
        let to = attempt.url().to_string();
        return attempt.error(format!("it redirects to {to}"));
    }
    if attempt.previous().len() > REDIRECTS {
        return attempt.error(format!("more than {REDIRECTS} redirects"));
    }
    if attempt.previous().iter().any(is_secure) && !is_secure(attempt.url()) {
        let to = attempt.url().to_string();
        return attempt.error(format!("it redirects from https to {to}"));
    }
    attempt.follow()
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
