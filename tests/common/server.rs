//! A web server on loopback: files of a folder, and git repositories through git's own CGI program.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use tiny_http::{Header, Request, Response};

/// A server that runs until it is dropped.
pub struct Server {
    http: Arc<tiny_http::Server>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves a folder: `*.git` below it as git repositories, everything else as files.
    pub fn of(folder: &Path) -> Self {
        let http = Arc::new(tiny_http::Server::http("127.0.0.1:0").unwrap());
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        for _ in 0..4 {
            let (http, log, folder) = (Arc::clone(&http), Arc::clone(&log), folder.to_owned());
            std::thread::spawn(move || {
                while let Ok(request) = http.recv() {
                    log.lock().unwrap().push(format!("{} {}", request.method(), request.url()));
                    answer(request, &folder);
                }
            });
        }
        Self { http, log }
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
        (0..4).for_each(|_| self.http.unblock());
    }
}

fn answer(request: Request, folder: &Path) {
    let path = request.url().split('?').next().unwrap().to_owned();
    if path.contains(".git/") {
        return git(request, folder);
    }
    let file: PathBuf = folder.join(path.trim_start_matches('/'));
    let _ = match std::fs::read(file) {
        Ok(bytes) => request.respond(Response::from_data(bytes)),
        Err(_) => request.respond(Response::from_data(Vec::new()).with_status_code(404)),
    };
}

/// Runs `git http-backend`: see its manual for the variables.
fn git(mut request: Request, folder: &Path) {
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
    let mut response = Response::from_data(body);
    for line in head.lines() {
        match line.split_once(": ") {
            Some(("Status", code)) => response = response.with_status_code(code[..3].parse::<u16>().unwrap()),
            Some((name, value)) => response.add_header(Header::from_bytes(name, value).unwrap()),
            None => {}
        }
    }
    let _ = request.respond(response);
}
