//! ^C leaves nothing broken, and the same command goes on.

mod common;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::site::Site;

/// What a run says, line by line.
type Said = std::io::Lines<BufReader<std::process::ChildStderr>>;

/// Starts a run and waits until it says that it is at a stage.
fn start_until(site: &Site, out: &Path, krate: &str, stage: &str) -> (Child, Said) {
    let mut recrate = Command::new(env!("CARGO_BIN_EXE_recrate"));
    recrate.current_dir(site.project()).env("RECRATE_CACHE", site.folder.path().join("cache"));
    recrate.args(["verify", "--toolchains", "imported", krate, "--out"]).arg(out);
    let mut child = recrate.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let reached = said.by_ref().map_while(Result::ok).any(|line| line.starts_with(stage));
    assert!(reached, "it ended before it was at `{stage}`");
    (child, said)
}

fn interrupt(child: &Child) {
    let done = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(done.success());
}

#[test]
fn during_a_build_it_ends_at_once_and_goes_on_from_there() {
    let site = Site::new();
    // A name that no other test has, so that there is something to build.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let name = format!("interrupted-{}", now.as_nanos());
    site.publish(&name, "shared", |bytes| bytes);
    let krate = format!("{name}@1.0.0");
    let out = site.folder.path().join("run");
    let (child, said) = start_until(&site, &out, &krate, "1 builds are handed to Nix");
    assert_ends_at_once(child, said);

    let report = site.verify(&[&krate]);
    assert_eq!(report["packages"][0]["verdict"], "reproduced", "{report:#}");
}

/// Interrupts a run, and waits for its end and what it says of that.
fn assert_ends_at_once(mut child: Child, mut said: Said) {
    let start = Instant::now();
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(said.any(|line| line.unwrap().contains("the same command goes on from there")));
}

/// Has a run ask a registry whose server takes connections and never says anything; does something with it then.
fn while_a_server_is_silent(then: impl Fn(Child, Said)) {
    let site = Site::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    site.configure(&format!(
        "[source.crates-io]\nreplace-with = \"here\"\n[source.here]\nregistry = \"sparse+http://{}/\"\n",
        silent.local_addr().unwrap()
    ));
    let out = site.folder.path().join("run");
    let (child, said) = start_until(&site, &out, "one@1.0.0", "verifying");
    then(child, said);
}

#[test]
fn an_interruption_does_not_wait_for_a_server() {
    while_a_server_is_silent(assert_ends_at_once);
}

#[test]
fn a_second_interruption_does_not_wait_at_all() {
    while_a_server_is_silent(|mut child, mut said| {
        let start = Instant::now();
        interrupt(&child);
        assert!(said.any(|line| line.unwrap().contains("^C again stops at once")));
        interrupt(&child);
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert!(start.elapsed() < Duration::from_millis(700), "{:?}", start.elapsed());
    });
}
