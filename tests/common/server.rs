//! A web server on loopback: files of a folder, git repositories through git's own CGI program, and their LFS objects.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tiny_http::{Header, Request, Response};

/// A server that runs until it is dropped.
pub struct Server {
    http: Arc<tiny_http::Server>,
    log: Arc<Mutex<Vec<String>>>,
    sent: Arc<AtomicUsize>,
    faults: Arc<Mutex<Vec<(String, Fault)>>>,
}

/// What a server does in place of answering.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It says that it can't, and asks to be left alone for a second; so often.
    Status(u16, u32),
    /// It sends on to another address.
    Redirect(String),
    /// It says how long its answer is, and sends less.
    CutOff,
    /// It sends a byte a second.
    Drops,
    /// It never comes to an end.
    Endless,
    /// It sends nothing.
    Silence,
}

impl Server {
    /// Serves a folder: `*.git` below it as git repositories, everything else as files.
    pub fn of(folder: &Path) -> Self {
        Self::far_away(folder, Duration::ZERO)
    }

    /// The same, where each request takes longer by as much as the way there and back.
    pub fn far_away(folder: &Path, away: Duration) -> Self {
        let http = Arc::new(tiny_http::Server::http("127.0.0.1:0").unwrap());
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let sent = Arc::new(AtomicUsize::new(0));
        let faults: Arc<Mutex<Vec<(String, Fault)>>> = Arc::default();
        for _ in 0..WORKERS {
            let (http, log, sent) = (Arc::clone(&http), Arc::clone(&log), Arc::clone(&sent));
            let faults = Arc::clone(&faults);
            let folder = folder.to_owned();
            std::thread::spawn(move || {
                while let Ok(request) = http.recv() {
                    log.lock().unwrap().push(format!("{} {}", request.method(), request.url()));
                    let host = http.server_addr().to_string();
                    std::thread::sleep(away);
                    if let Some(fault) = fault_for(&faults, request.url()) {
                        // In a thread of its own: others are to be answered meanwhile.
                        std::thread::spawn(move || drop(misbehave(request, fault)));
                        continue;
                    }
                    sent.fetch_add(answer(request, &folder, &host), Ordering::Relaxed);
                }
            });
        }
        Self { http, log, sent, faults }
    }

    /// From now on misbehaves where addresses contain `part`.
    pub fn misbehave(&self, part: &str, fault: Fault) {
        self.faults.lock().unwrap().push((part.to_owned(), fault));
    }

    /// Behaves again.
    pub fn behave(&self) {
        self.faults.lock().unwrap().clear();
    }

    /// How many bytes of git repositories were sent since the last call.
    pub fn sent(&self) -> usize {
        self.sent.swap(0, Ordering::Relaxed)
    }

    /// Its address, without a slash at the end.
    pub fn address(&self) -> String {
        format!("http://{}", self.http.server_addr())
    }

    /// What was asked for since the last call, a line each.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        (0..WORKERS).for_each(|_| self.http.unblock());
    }
}

fn fault_for(faults: &Mutex<Vec<(String, Fault)>>, url: &str) -> Option<Fault> {
    let mut faults = faults.lock().unwrap();
    let (_, fault) = faults.iter_mut().find(|(part, _)| url.contains(part.as_str()))?;
    match fault {
        Fault::Status(_, 0) => return None,
        Fault::Status(_, times) => *times -= 1,
        _ => {}
    }
    Some(fault.clone())
}

fn misbehave(request: Request, fault: Fault) -> std::io::Result<()> {
    let mut to = request.into_writer();
    match fault {
        Fault::Status(code, _) => {
            write!(to, "HTTP/1.1 {code} Alas\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")?;
        }
        Fault::Redirect(address) => {
            write!(to, "HTTP/1.1 302 Found\r\nLocation: {address}\r\nContent-Length: 0\r\n\r\n")?;
        }
        Fault::CutOff => write!(to, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789")?,
        Fault::Drops => {
            write!(to, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")?;
            loop {
                to.write_all(b"x")?;
                to.flush()?;
                std::thread::sleep(Duration::from_secs(1));
            }
        }
        Fault::Endless => {
            write!(to, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            loop {
                write!(to, "10000\r\n{}\r\n", " ".repeat(0x10000))?;
            }
        }
        Fault::Silence => std::thread::sleep(Duration::from_secs(60)),
    }
    to.flush()
}

/// How many requests are answered at once.
const WORKERS: usize = 16;

/// Answers; gives how many bytes of a git repository were sent.
fn answer(request: Request, folder: &Path, host: &str) -> usize {
    let path = request.url().split('?').next().unwrap().to_owned();
    if let Some(repository) = path.strip_suffix("/info/lfs/objects/batch") {
        offer(request, folder, host, repository);
        return 0;
    }
    if path.contains("/lfs/objects/") && !has(&request, "Authorization", TOKEN) {
        drop(request.respond(Response::from_data(Vec::new()).with_status_code(401)));
        return 0;
    }
    if path.contains(".git/") && !path.contains("/lfs/objects/") {
        return git(request, folder);
    }
    let file: PathBuf = folder.join(path.trim_start_matches('/'));
    let _ = match std::fs::read(file) {
        Ok(bytes) => request.respond(Response::from_data(bytes)),
        Err(_) => request.respond(Response::from_data(Vec::new()).with_status_code(404)),
    };
    0
}

/// What an offer of LFS objects says to send along.
const TOKEN: &str = "Bearer of objects";

fn has(request: &Request, name: &'static str, value: &str) -> bool {
    request.headers().iter().any(|header| header.field.equiv(name) && header.value.as_str() == value)
}

/// Offers LFS objects as git-lfs's description of the batch API says: what lies where `git lfs fetch` leaves it.
fn offer(mut request: Request, folder: &Path, host: &str, repository: &str) {
    let media = "application/vnd.git-lfs+json";
    if !has(&request, "Content-Type", media) || !has(&request, "Accept", media) {
        return drop(request.respond(Response::from_data(Vec::new()).with_status_code(422)));
    }
    if !folder.join(repository.trim_start_matches('/')).is_dir() {
        return drop(request.respond(Response::from_data(Vec::new()).with_status_code(404)));
    }
    let asked: serde_json::Value = serde_json::from_reader(request.as_reader()).unwrap();
    assert_eq!(asked["operation"], "download");
    let objects = asked["objects"].as_array().unwrap().iter().map(|object| {
        let oid = object["oid"].as_str().unwrap();
        let path = format!("{repository}/lfs/objects/{}/{}/{oid}", &oid[..2], &oid[2..4]);
        let mut offered = object.clone();
        match std::fs::metadata(folder.join(path.trim_start_matches('/'))) {
            Ok(file) if Some(file.len()) == object["size"].as_u64() => {
                let header = serde_json::json!({ "Authorization": TOKEN });
                offered["actions"]["download"] =
                    serde_json::json!({ "href": format!("http://{host}{path}"), "header": header });
            }
            _ => offered["error"] = serde_json::json!({ "code": 404, "message": "Object does not exist" }),
        }
        offered
    });
    let reply = serde_json::json!({ "transfer": "basic", "objects": objects.collect::<Vec<_>>() });
    let media = Header::from_bytes("Content-Type", media).unwrap();
    let _ = request.respond(Response::from_data(reply.to_string()).with_header(media));
}

/// Runs `git http-backend`: see its manual for the variables. Gives how many bytes it sends.
fn git(mut request: Request, folder: &Path) -> usize {
    let url = request.url().to_owned();
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    let header = |name: &'static str| {
        let found = request.headers().iter().find(|header| header.field.equiv(name));
        found.map(|header| header.value.as_str().to_owned()).unwrap_or_default()
    };
    let mut git = Command::new("git");
    git.arg("http-backend").env("GIT_PROJECT_ROOT", folder).env("GIT_HTTP_EXPORT_ALL", "1");
    git.env("PATH_INFO", path).env("QUERY_STRING", query).env("REQUEST_METHOD", request.method().to_string());
    git.env("CONTENT_TYPE", header("Content-Type")).env("GIT_PROTOCOL", header("Git-Protocol"));
    git.env("HTTP_CONTENT_ENCODING", header("Content-Encoding"));
    git.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "safe.directory").env("GIT_CONFIG_VALUE_0", "*");
    let mut body = Vec::new();
    request.as_reader().read_to_end(&mut body).unwrap();
    git.env("CONTENT_LENGTH", body.len().to_string());
    let mut child = git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feed = std::thread::spawn(move || drop(stdin.write_all(&body)));
    let output = child.wait_with_output().unwrap().stdout;
    feed.join().unwrap();
    let at = output.windows(4).position(|four| four == b"\r\n\r\n").expect("CGI headers");
    let (head, body) = (String::from_utf8_lossy(&output[..at]).into_owned(), output[at + 4..].to_vec());
    let sent = body.len();
    let mut response = Response::from_data(body);
    for line in head.lines() {
        match line.split_once(": ") {
            Some(("Status", code)) => response = response.with_status_code(code[..3].parse::<u16>().unwrap()),
            Some((name, value)) => response.add_header(Header::from_bytes(name, value).unwrap()),
            None => {}
        }
    }
    let _ = request.respond(response);
    sent
}
