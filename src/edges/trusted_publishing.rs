//! Trusted Publishing (RFC 3691): the identity of a CI job, exchanged for a token that lives for minutes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cargo_credential::Secret;
use http::{Method, Request, Response};
use serde::Deserialize;
use serde_json::json;

use super::network::Network;

/// Where a registry exchanges identities.
const PATH: &str = "/api/v1/trusted_publishing/tokens";

/// The variable in which GitLab's jobs have their identity, as the template names it.
const GITLAB: &str = "RECRATE_ID_TOKEN";

/// What GitHub's runner says of where a job's identity can be asked for, and with what.
const GITHUB_URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const GITHUB_TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This is no such job.
    #[error(
        "this job has no identity to exchange: on GitHub it needs `permissions: id-token: write`, on GitLab `id_tokens` with \
         {GITLAB}"
    )]
    NoIdentity,
    /// The identity is meant for somebody else.
    #[error("this job's identity is not made out for {0}: on GitLab, `aud` under `id_tokens` has to name it")]
    OtherAudience(String),
    /// Somebody did not answer.
    #[error("{what}: {reason}")]
    Failed {
        /// What was asked for.
        what: &'static str,
        /// What came of it. Never an answer's body: it may have a token in it.
        reason: String,
    },
    /// The registry refuses.
    #[error(
        "the registry does not exchange this job's identity: {0}\nhelp: its crates have to name this repository and workflow under \
         Trusted Publishing; a crate that is not published yet needs a token"
    )]
    Refused(String),
}

/// Exchanges this job's identity for a token of the registry whose API is at an address.
///
/// # Errors
/// Where there is no identity, or it is not taken.
pub fn exchange(network: &Network, api: &str) -> Result<Secret<String>, Error> {
    let address = url::Url::parse(api).ok();
    let audience = address.as_ref().and_then(url::Url::host_str).unwrap_or_default();
    let identity = identity(network, audience)?.expose();
    // Whoever gets an identity that is meant for somebody else could go there with it.
    if !is_for(&identity, audience) {
        return Err(Error::OtherAudience(audience.to_owned()));
    }
    let body = json!({ "jwt": identity }).to_string();
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{api}{PATH}"))
        .header("content-type", "application/json")
        .body(body.into_bytes());
    #[derive(Deserialize)]
    struct Wire {
        token: String,
    }
    let what = "the registry was asked for a token";
    let answer = send(network, what, request)?;
    if !answer.status().is_success() {
        return Err(Error::Refused(words(&answer).replace(&identity, "…")));
    }
    let wire: Wire = serde_json::from_slice(answer.body())
        .map_err(|_| Error::Failed { what, reason: "the answer has none".to_owned() })?;
    Ok(Secret::from(wire.token))
}

/// Takes a token back.
///
/// # Errors
/// Where the registry does not: it ends by itself after half an hour.
pub fn revoke(network: &Network, api: &str, token: &str) -> Result<(), Error> {
    let request = Request::builder()
        .method(Method::DELETE)
        .uri(format!("{api}{PATH}"))
        .header("authorization", format!("Bearer {token}"))
        .body(Vec::new());
    let what = "the registry was asked to take the token back";
    let answer = send(network, what, request)?;
    if answer.status().is_success() { Ok(()) } else { Err(Error::Failed { what, reason: answer.status().to_string() }) }
}

/// This job's identity, for one audience.
fn identity(network: &Network, audience: &str) -> Result<Secret<String>, Error> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(identity) = variable(GITLAB) {
        return Ok(Secret::from(identity));
    }
    let (url, bearer) = variable(GITHUB_URL).zip(variable(GITHUB_TOKEN)).ok_or(Error::NoIdentity)?;
    let separator = if url.contains('?') { '&' } else { '?' };
    let request = Request::builder()
        .uri(format!("{url}{separator}audience={audience}"))
        .header("authorization", format!("Bearer {bearer}"))
        .header("accept", "application/json")
        .body(Vec::new());
    #[derive(Deserialize)]
    struct Wire {
        value: String,
    }
    let what = "the runner was asked for this job's identity";
    let failed = |reason: String| Error::Failed { what, reason };
    let answer = send(network, what, request)?;
    if !answer.status().is_success() {
        return Err(failed(answer.status().to_string()));
    }
    let wire: Wire = serde_json::from_slice(answer.body()).map_err(|_| failed("the answer has none".to_owned()))?;
    Ok(Secret::from(wire.value))
}

/// Whether an identity, a JSON web token, is made out for somebody.
fn is_for(identity: &str, audience: &str) -> bool {
    #[derive(Deserialize)]
    struct Wire {
        aud: Audience,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Several(Vec<String>),
    }
    let claims = identity.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims = claims.and_then(|text| serde_json::from_slice::<Wire>(&text).ok());
    claims.is_some_and(|Wire { aud }| match aud {
        Audience::One(one) => one == audience,
        Audience::Several(all) => all.len() == 1 && all[0] == audience,
    })
}

fn send(
    network: &Network,
    what: &'static str,
    request: http::Result<Request<Vec<u8>>>,
) -> Result<Response<Vec<u8>>, Error> {
    let failed = |reason: String| Error::Failed { what, reason };
    let request = request.map_err(|error| failed(error.to_string()))?;
    network.send(request).map_err(|error| failed(error.to_string()))
}

/// What a registry says of an error.
fn words(answer: &Response<Vec<u8>>) -> String {
    #[derive(Deserialize)]
    struct Wire {
        errors: Vec<Detail>,
    }
    #[derive(Deserialize)]
    struct Detail {
        detail: String,
    }
    let said: Vec<String> = serde_json::from_slice::<Wire>(answer.body())
        .map(|wire| wire.errors.into_iter().map(|error| error.detail).collect())
        .unwrap_or_default();
    if said.is_empty() { answer.status().to_string() } else { said.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_for_one_host_only() {
        let identity = |claims: &str| format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims));
        assert!(is_for(&identity(r#"{"aud":"a.example"}"#), "a.example"));
        assert!(is_for(&identity(r#"{"aud":["a.example"]}"#), "a.example"));
        for bad in
            [r#"{"aud":"b.example"}"#, r#"{"aud":["a.example","b.example"]}"#, r#"{"aud":[]}"#, "{}", "no JSON", ""]
        {
            assert!(!is_for(&identity(bad), "a.example"), "{bad}");
        }
        assert!(!is_for("a.example", "a.example"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            assert!(!is_for(&text, "a.example"));
        }
    }
}
