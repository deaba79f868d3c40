//! What machines do to a run: it is killed, its disks are full, its servers fail, others work beside it. After each the verdicts are
//! those of an undisturbed run. `scripts/torture` runs this; it takes minutes, and is no part of the everyday tests.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use common::server::Fault;
use common::site::Site;
use serde_json::Value;

/// Random numbers, the same for the same seed.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let said = std::env::var("RECRATE_SEED").ok().and_then(|text| text.parse().ok());
        let seed = said.unwrap_or_else(|| u64::from(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos()));
        println!("seed {seed}");
        Self(seed)
    }

    /// One below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn rounds(usual: u64) -> u64 {
    std::env::var("RECRATE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

const CRATES: [&str; 4] = ["one", "two", "three", "tampered"];

/// Four crates, one of which is not what its commit gives.
fn site() -> Site {
    let site = Site::new();
    for name in CRATES {
        site.publish(name, name, |bytes| {
            if name != "tampered" {
                return bytes;
            }
            let mut entries = common::workshop::unpack(&bytes);
            common::workshop::edit(&mut entries, "src/lib.rs", |text| format!("{text}// not in git\n"));
            common::workshop::pack(&entries)
        });
    }
    site
}

/// A run of all four, not yet waited for.
fn start(site: &Site, out: &Path, wrap: &[String]) -> Child {
    let program = env!("CARGO_BIN_EXE_recrate").to_owned();
    let line: Vec<String> = wrap.iter().cloned().chain([program]).collect();
    let mut recrate = Command::new(&line[0]);
    recrate.args(&line[1..]).current_dir(site.project()).env("RECRATE_CACHE", site.folder.path().join("cache"));
    recrate.args(["verify", "--toolchains", "imported", "--format", "json", "--quiet", "--network-timeout", "5"]);
    recrate.arg("--out").arg(out).args(CRATES.map(|name| format!("{name}@1.0.0")));
    recrate.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The verdicts that a finished run left.
fn verdicts(out: &Path) -> BTreeMap<String, String> {
    let report: Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    let packages = report["packages"].as_array().unwrap().iter();
    for one in packages.clone().filter(|one| one["verdict"] == "error") {
        println!("{} {}", one["name"], one["findings"]["rebuild"]);
    }
    packages.map(|one| (one["name"].to_string(), one["verdict"].as_str().unwrap().to_owned())).collect()
}

fn finish(site: &Site, out: &Path) -> BTreeMap<String, String> {
    let status = start(site, out, &[]).wait().unwrap();
    let said = verdicts(out);
    // 1: one of the crates is rejected.
    assert_eq!(status.code(), Some(1), "{said:?}");
    said
}

/// What an undisturbed run says.
fn undisturbed(site: &Site) -> BTreeMap<String, String> {
    let said = finish(site, &site.folder.path().join("undisturbed"));
    let expected = ["reproduced", "source-differs", "reproduced", "reproduced"];
    assert_eq!(said.values().map(String::as_str).collect::<Vec<_>>(), expected, "{said:?}");
    said
}

/// Forgets what earlier runs learned, or also what they fetched.
fn forget(site: &Site, all: bool) {
    let cache = site.folder.path().join("cache");
    let _ = std::fs::remove_dir_all(if all { cache } else { cache.join("results") });
}

#[test]
#[ignore = "takes minutes: scripts/torture"]
fn a_run_that_is_killed_at_any_moment_goes_on() {
    let (site, mut random) = (site(), Random::new());
    let expected = undisturbed(&site);
    let out = site.folder.path().join("run");
    for round in 0..rounds(200) {
        forget(&site, round % 4 == 0);
        let mut child = start(&site, &out, &[]);
        std::thread::sleep(Duration::from_millis(random.below(1200)));
        let _ = child.kill();
        child.wait().unwrap();
        assert_eq!(finish(&site, &out), expected, "round {round}");
        let temporary = std::fs::read_dir(site.folder.path().join("cache/temporary"));
        assert_eq!(temporary.map_or(0, Iterator::count), 0, "round {round} left something behind");
    }
}

#[test]
#[ignore = "takes minutes: scripts/torture"]
fn a_full_disk_loses_nothing() {
    let (site, mut random) = (site(), Random::new());
    let expected = undisturbed(&site);
    let (cache, out) = (site.folder.path().join("cache"), site.folder.path().join("run"));
    for round in 0..rounds(200) / 10 {
        for full in [&cache, &out] {
            forget(&site, true);
            let _ = std::fs::remove_dir_all(&out);
            std::fs::create_dir_all(full).unwrap();
            // In a mount namespace of its own: nobody else sees the small disk.
            let size = 4 << random.below(9);
            let mount = format!("mount -t tmpfs -o size={size}k tmpfs '{}' && exec \"$@\"", full.display());
            let wrap = ["unshare", "--mount", "sh", "-c", &mount, "sh"].map(str::to_owned);
            let status: ExitStatus = start(&site, &out, &wrap).wait().unwrap();
            // Verdicts, some of them errors perhaps, or the machine is at fault; nothing else.
            assert!([1, 2, 3, 70].contains(&status.code().unwrap_or(-1)), "{size} kB in {}: {status}", full.display());
            let _ = std::fs::remove_dir_all(&out);
            assert_eq!(finish(&site, &out), expected, "round {round}: {size} kB in {}", full.display());
        }
    }
}

#[test]
#[ignore = "takes minutes: scripts/torture"]
fn servers_that_fail_for_a_while_are_forgiven() {
    let mut random = Random::new();
    let faults =
        [Fault::Status(500, 3), Fault::Status(429, 3), Fault::CutOff, Fault::Drops, Fault::Endless, Fault::Silence];
    let places = ["/registry/index/", ".crate", "/info/refs", "/git-upload-pack"];
    for round in 0..rounds(200) / 10 {
        let site = site();
        let expected = undisturbed(&site);
        forget(&site, true);
        let fault = faults[random.below(faults.len() as u64) as usize].clone();
        let place = places[random.below(places.len() as u64) as usize];
        site.server.misbehave(place, fault.clone());
        let out = site.folder.path().join("run");
        let started = Instant::now();
        let status = start(&site, &out, &[]).wait().unwrap();
        assert!(started.elapsed() < Duration::from_secs(60), "{place} {fault:?}: {:?}", started.elapsed());
        assert!([1, 3].contains(&status.code().unwrap()), "{place} {fault:?}: {status}");
        for (name, verdict) in verdicts(&out) {
            let known = ["error", "unverifiable", "reach-unknown", "checksum-mismatch"].contains(&verdict.as_str());
            assert!(known || expected[&name] == verdict, "{place} {fault:?}: {name} {verdict}");
        }
        site.server.behave();
        assert_eq!(finish(&site, &out), expected, "round {round}: {place} {fault:?}");
    }
}

#[test]
#[ignore = "takes minutes: scripts/torture"]
fn runs_beside_each_other_come_to_the_same() {
    let site = site();
    let expected = undisturbed(&site);
    for round in 0..rounds(200) / 20 {
        forget(&site, true);
        let outs = ["a", "b", "c"].map(|name| site.folder.path().join(name));
        let children: Vec<Child> = outs.iter().map(|out| start(&site, out, &[])).collect();
        for mut child in children {
            child.wait().unwrap();
        }
        outs.iter().for_each(|out| assert_eq!(verdicts(out), expected, "round {round}"));
    }
}
