//! A stand-in for who issues identities to jobs, and for the registry's exchange of them. Uploads are handed on to the real registry.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tiny_http::{Method, Request, Response};

/// What the runner gives a job to ask with.
pub const BEARER: &str = "the-runners-own-bearer";
/// A job's identity, made out for `127.0.0.1`.
const IDENTITY: &str = "e30.eyJhdWQiOiIxMjcuMC4wLjEifQ.signature";
/// What it is exchanged for.
pub const TOKEN: &str = "cio_tp_of-a-job-0123456789";

/// The stand-in, until it is dropped.
pub struct Issuer {
    http: Arc<tiny_http::Server>,
    asked: Arc<Mutex<Vec<String>>>,
    refuses: Arc<AtomicBool>,
    pub address: String,
}

impl Issuer {
    /// Starts it before the registry at an address.
    pub fn start(registry: &str) -> Self {
        let http = Arc::new(tiny_http::Server::http("127.0.0.1:0").unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let refuses: Arc<AtomicBool> = Arc::default();
        let address = format!("http://{}", http.server_addr());
        let (server, noted, refusing) = (Arc::clone(&http), Arc::clone(&asked), Arc::clone(&refuses));
        let registry = registry.trim_start_matches("http://").to_owned();
        std::thread::spawn(move || {
            while let Ok(request) = server.recv() {
                answer(request, &registry, &noted, refusing.load(Ordering::Relaxed));
            }
        });
        Self { http, asked, refuses, address }
    }

    /// What was asked for since the last call.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// From now on it exchanges nothing.
    pub fn refuse(&self) {
        self.refuses.store(true, Ordering::Relaxed);
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.http.unblock();
    }
}

fn answer(mut request: Request, registry: &str, asked: &Mutex<Vec<String>>, refuses: bool) {
    let note = |what: &str| asked.lock().unwrap().push(what.to_owned());
    let header = |name: &'static str| {
        let found = request.headers().iter().find(|header| header.field.equiv(name));
        found.map(|header| header.value.as_str().to_owned()).unwrap_or_default()
    };
    let authorization = header("Authorization");
    let url = request.url().to_owned();
    let mut body = Vec::new();
    request.as_reader().read_to_end(&mut body).unwrap();
    let (status, text) = match (request.method(), url.split('?').next().unwrap()) {
        (Method::Get, "/oidc") if authorization == format!("Bearer {BEARER}") => {
            note(&format!("identity for {}", url.split("audience=").nth(1).unwrap()));
            (200, format!(r#"{{"value":"{IDENTITY}"}}"#))
        }
        (Method::Post, "/api/v1/trusted_publishing/tokens") if refuses => {
            (400, r#"{"errors":[{"detail":"No Trusted Publishing config found"}]}"#.to_owned())
        }
        (Method::Post, "/api/v1/trusted_publishing/tokens")
            if body == format!(r#"{{"jwt":"{IDENTITY}"}}"#).as_bytes() =>
        {
            note("exchange");
            (200, format!(r#"{{"token":"{TOKEN}"}}"#))
        }
        (Method::Delete, "/api/v1/trusted_publishing/tokens") if authorization == format!("Bearer {TOKEN}") => {
            note("take back");
            (204, String::new())
        }
        (Method::Put, "/api/v1/crates/new") if authorization == TOKEN => {
            note("upload");
            (200, hand_on(registry, &body))
        }
        _ => (403, r#"{"errors":[{"detail":"no"}]}"#.to_owned()),
    };
    let _ = request.respond(Response::from_string(text).with_status_code(status));
}

/// Sends an upload to the real registry; gives its answer.
fn hand_on(registry: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(registry).unwrap();
    let head = format!(
        "PUT /api/v1/crates/new HTTP/1.1\r\nHost: {registry}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}
