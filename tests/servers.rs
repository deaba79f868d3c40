//! Servers that misbehave: what can't be had is one crate's *error*, in time, and the others are none the worse for it.

mod common;

use std::time::{Duration, Instant};

use common::server::Fault;
use common::site::Site;

/// How long one question may take here, in seconds.
const PATIENCE: u64 = 4;

/// Verifies a crate for which the server misbehaves at addresses with `part` in them, beside one that is served well; gives the
/// verdict of the first and what it says.
fn beside_a_good_one(part: &str, fault: Fault) -> (String, String) {
    let site = Site::new();
    site.publish("good", "good", |bytes| bytes);
    site.publish("bait", "bait", |bytes| bytes);
    site.server.misbehave(part, fault);
    let started = Instant::now();
    let report = site.verify(&["bait@1.0.0", "good@1.0.0", "--network-timeout", &PATIENCE.to_string()]);
    assert!(started.elapsed() < Duration::from_secs(PATIENCE * 4), "{:?}", started.elapsed());
    let verdict = |at: usize| report["packages"][at]["verdict"].as_str().unwrap().to_owned();
    assert_eq!(verdict(1), "reproduced", "{report:#}");
    (verdict(0), common::reason(&report["packages"][0]).to_owned())
}

const INDEX: &str = "index/ba/it/bait";
const CRATE: &str = "bait-1.0.0.crate";
const REPOSITORY: &str = "team/bait.git/git-upload-pack";

#[test]
fn a_server_that_is_busy_for_a_moment_is_asked_again() {
    for part in [INDEX, CRATE] {
        for code in [429, 503] {
            let (verdict, said) = beside_a_good_one(part, Fault::Status(code, 1));
            assert_eq!((verdict.as_str(), said.as_str()), ("reproduced", ""), "{part} {code}");
        }
    }
}

#[test]
fn a_server_that_always_fails_is_an_error_with_its_words() {
    for (part, code) in [(INDEX, 500), (CRATE, 503), (CRATE, 429), (REPOSITORY, 500)] {
        let (verdict, said) = beside_a_good_one(part, Fault::Status(code, u32::MAX));
        assert_eq!(verdict, "error", "{part} {code}: {said}");
        assert!(said.contains(&code.to_string()), "{part} {code}: {said}");
    }
}

#[test]
fn a_server_that_sends_half_of_an_answer_is_an_error() {
    for part in [INDEX, CRATE, REPOSITORY] {
        let (verdict, said) = beside_a_good_one(part, Fault::CutOff);
        assert_eq!(verdict, "error", "{part}: {said}");
    }
}

#[test]
fn a_server_that_sends_drops_or_nothing_is_not_waited_for() {
    for part in [INDEX, CRATE, REPOSITORY] {
        for fault in [Fault::Drops, Fault::Silence] {
            let (verdict, said) = beside_a_good_one(part, fault.clone());
            assert_eq!(verdict, "error", "{part} {fault:?}: {said}");
        }
    }
}

#[test]
fn an_answer_without_end_is_cut_off() {
    for (part, limit) in [(INDEX, "67108864 bytes"), (CRATE, "268435456 bytes")] {
        let (verdict, said) = beside_a_good_one(part, Fault::Endless);
        assert_eq!(verdict, "error", "{part}: {said}");
        assert!(said.contains(limit) || said.contains("timed out"), "{part}: {said}");
    }
}

#[test]
fn redirects_are_followed_but_not_round_and_round_or_out_of_the_web() {
    let elsewhere = Site::new();
    elsewhere.publish("bait", "bait", |bytes| bytes);
    for to in ["file:///etc/passwd".to_owned(), format!("/registry/{CRATE}")] {
        let (found, said) = beside_a_good_one(CRATE, Fault::Redirect(to.clone()));
        assert_eq!(found, "error", "{to}: {said}");
    }
    // Another host may have the very bytes: the checksum says whether they are.
    let (found, said) =
        beside_a_good_one(CRATE, Fault::Redirect(format!("{}/registry/{CRATE}", elsewhere.server.address())));
    assert!(["reproduced", "checksum-mismatch"].contains(&found.as_str()), "{found}: {said}");
}

#[test]
fn a_server_without_the_encryption_that_its_address_promises_is_an_error() {
    let site = Site::new();
    site.publish("bait", "bait", |bytes| bytes);
    let address = site.server.address().replace("http://", "https://");
    let mirror = format!("[[git-mirror]]\nprefix = \"https://git.example/\"\nreplacement = \"{address}/git/\"\n");
    std::fs::write(site.project().join("recrate.toml"), mirror).unwrap();
    let report = site.verify(&["bait@1.0.0", "--network-timeout", "4"]);
    assert_eq!(report["packages"][0]["verdict"], "error", "{report:#}");
}
