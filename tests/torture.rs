//! What machines do to a run: it is killed, its disks are full, its servers fail, others work beside it. After each the verdicts are
//! those of an undisturbed run. `scripts/torture` runs this; it takes minutes, and is no part of the everyday tests.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use common::server::Fault;
use common::site::Site;
use common::static_program;
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
struct Torture {
    site: Site,
    random: Random,
    /// What an undisturbed run says.
    expected: BTreeMap<String, String>,
}

impl Torture {
    fn new() -> Self {
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
        let mut torture = Self { site, random: Random::new(), expected: BTreeMap::new() };
        torture.forget_all();
        torture.expected = torture.finish("undisturbed");
        let expected = ["reproduced", "source-differs", "reproduced", "reproduced"];
        assert_eq!(torture.expected.values().map(String::as_str).collect::<Vec<_>>(), expected);
        torture
    }

    fn place(&self, name: &str) -> PathBuf {
        self.site.folder.path().join(name)
    }

    /// Forgets what earlier runs learned.
    fn forget(&self) {
        let _ = std::fs::remove_dir_all(self.place("cache/results"));
    }

    /// Forgets also what they fetched and built: another builder makes every build another one.
    fn forget_all(&self) {
        let _ = std::fs::remove_dir_all(self.place("cache"));
        let _ = std::fs::remove_dir_all(self.place("run"));
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let program = std::fs::read(static_program("recrate-builder")).unwrap();
        let builder = self.place("programs/recrate-builder");
        std::fs::create_dir_all(builder.parent().unwrap()).unwrap();
        std::fs::write(&builder, [&program[..], &now.to_le_bytes()].concat()).unwrap();
        std::fs::set_permissions(&builder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// A run of all four, in a run directory.
    fn run(&self, out: &str) -> Command {
        let mut recrate = Command::new(env!("CARGO_BIN_EXE_recrate"));
        recrate.current_dir(self.site.project()).env("RECRATE_CACHE", self.place("cache"));
        recrate.env("RECRATE_BUILDER", self.place("programs/recrate-builder"));
        recrate.args(["verify", "--toolchains", "imported", "--format", "json", "--quiet", "--network-timeout", "5"]);
        recrate.arg("--out").arg(self.place(out)).args(CRATES.map(|name| format!("{name}@1.0.0")));
        recrate.stdout(Stdio::null());
        recrate
    }

    /// Lets a run go to its end and gives its verdicts.
    fn finish(&self, out: &str) -> BTreeMap<String, String> {
        let done = self.run(out).output().unwrap();
        // 1: one of the crates is rejected.
        assert_eq!(done.status.code(), Some(1), "{}", String::from_utf8_lossy(&done.stderr));
        self.verdicts(out)
    }

    /// The verdicts that a finished run left.
    fn verdicts(&self, out: &str) -> BTreeMap<String, String> {
        let report = std::fs::read(self.place(out).join("report.json")).unwrap();
        let report: Value = serde_json::from_slice(&report).unwrap();
        let packages = report["packages"].as_array().unwrap().iter();
        for one in packages.clone().filter(|one| one["verdict"] == "error") {
            println!("{} {}", one["name"], one["findings"]["rebuild"]);
        }
        packages.map(|one| (one["name"].to_string(), one["verdict"].as_str().unwrap().to_owned())).collect()
    }

    /// Asserts that the next run comes to what an undisturbed one does.
    fn assert_undisturbed(&self, what: &str) {
        assert_eq!(self.finish("run"), self.expected, "{what}");
        let temporary = std::fs::read_dir(self.place("cache/temporary"));
        assert_eq!(temporary.map_or(0, Iterator::count), 0, "{what} left something behind");
    }
}

/// Runs a program after a command of the shell's that changes what it finds, in a mount namespace of its own: nobody else sees it.
/// Gives its exit status and what it says.
fn run_after(prepare: &str, program: &Command) -> (ExitStatus, String) {
    let mut all = Command::new("unshare");
    all.args(["--mount", "sh", "-c", &format!("{prepare} && exec \"$@\""), "sh"]);
    all.arg(program.get_program()).args(program.get_args()).current_dir(program.get_current_dir().unwrap());
    all.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let done = all.output().unwrap();
    (done.status, String::from_utf8_lossy(&done.stderr).into_owned())
}

/// What mounts a memory file system of so many kilobytes.
fn small(place: &Path, kilobytes: u64) -> String {
    format!("mkdir -p '{0}' && mount -t tmpfs -o size={kilobytes}k tmpfs '{0}'", place.display())
}

/// Asserts that a run ended with verdicts, some of them errors perhaps, or found the machine at fault.
fn assert_in_order(status: ExitStatus, said: &str, what: &str) {
    assert!([1, 3, 70].contains(&status.code().unwrap_or(-1)), "{what}: {status}: {said}");
    assert!(status.code() != Some(70) || said.contains("help: "), "{what}: {said}");
}

#[test]
#[ignore = "takes minutes: scripts/torture"]
fn a_run_that_is_killed_at_any_moment_goes_on() {
    let mut torture = Torture::new();
    for round in 0..rounds(200) {
        if round % 4 == 0 {
            torture.forget_all()
        } else {
            torture.forget()
        }
        let mut child = torture.run("run").stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(torture.random.below(1500)));
        let _ = child.kill();
        child.wait().unwrap();
        torture.assert_undisturbed(&format!("round {round}"));
    }
}

#[test]
#[ignore = "takes minutes: scripts/torture"]
fn a_full_disk_loses_nothing() {
    let mut torture = Torture::new();
    for round in 0..rounds(200) / 10 {
        for full in ["cache", "run", "store", "sandbox"] {
            torture.forget_all();
            let mut recrate = torture.run("run");
            let size = match full {
                "cache" | "run" => 4 << torture.random.below(9),
                // A cargo alone has 50 MB.
                "store" => 1 << (10 + torture.random.below(8)),
                _ => 1 << torture.random.below(13),
            };
            match full {
                "store" => drop(recrate.arg("--store").arg(format!("local?root={}", torture.place("store").display()))),
                // Where there is little memory to work in, it is Nix's folder for builds.
                "sandbox" => {
                    let memory = 4 << torture.random.below(16);
                    recrate.env("TMPDIR", torture.place("sandbox"));
                    recrate.env("NIX_CONFIG", format!("sandbox-dev-shm-size = {memory}k"));
                }
                _ => {}
            }
            let what = format!("round {round}: {size} kB for the {full}");
            let (status, said) = run_after(&small(&torture.place(full), size), &recrate);
            println!("{what}: {status}");
            assert_in_order(status, &said, &what);
            let _ = std::fs::remove_dir_all(torture.place("run"));
            torture.assert_undisturbed(&what);
        }
    }
}

#[test]
#[ignore = "takes minutes: scripts/torture"]
fn too_little_memory_loses_nothing() {
    let mut torture = Torture::new();
    for round in 0..rounds(200) / 10 {
        torture.forget_all();
        let megabytes = 32 + torture.random.below(600);
        // It ends somehow: a program that gets no memory can't do much.
        let (status, _) = run_after(&format!("ulimit -v {}", megabytes << 10), &torture.run("run"));
        println!("round {round}: {megabytes} MB: {status}");
        let _ = std::fs::remove_dir_all(torture.place("run"));
        torture.assert_undisturbed(&format!("round {round}: {megabytes} MB"));
    }
}

#[test]
#[ignore = "takes minutes: scripts/torture"]
fn a_cache_that_can_not_be_written_is_told() {
    let torture = Torture::new();
    let read_only = format!("mount -t tmpfs -o ro tmpfs '{}'", torture.place("cache").display());
    let (status, said) = run_after(&read_only, &torture.run("run"));
    assert_in_order(status, &said, "a cache that can't be written");
    assert!(said.contains("RECRATE_CACHE"), "{said}");
    torture.assert_undisturbed("a cache that could not be written");
}

#[test]
#[ignore = "takes minutes: scripts/torture"]
fn garbage_is_collected_again_and_again() {
    let torture = Torture::new();
    for round in 0..rounds(200) / 20 {
        torture.forget_all();
        let mut child = torture.run("run").stderr(Stdio::null()).spawn().unwrap();
        let mut collections = 0;
        while child.try_wait().unwrap().is_none() {
            let collected = Command::new("nix-store").arg("--gc").output().unwrap();
            collections += usize::from(collected.status.success());
        }
        child.wait().unwrap();
        println!("round {round}: {collections} collections");
        assert_eq!(torture.verdicts("run"), torture.expected, "round {round}");
    }
}

#[test]
#[ignore = "takes minutes: scripts/torture"]
fn servers_that_fail_for_a_while_are_forgiven() {
    let mut torture = Torture::new();
    let faults =
        [Fault::Status(500, 3), Fault::Status(429, 3), Fault::CutOff, Fault::Drops, Fault::Endless, Fault::Silence];
    let places = ["/registry/index/", ".crate", "/info/refs", "/git-upload-pack"];
    for round in 0..rounds(200) / 10 {
        torture.forget_all();
        let fault = faults[torture.random.below(faults.len() as u64) as usize].clone();
        let place = places[torture.random.below(places.len() as u64) as usize];
        let what = format!("round {round}: {place} {fault:?}");
        torture.site.server.misbehave(place, fault);
        let started = Instant::now();
        let status = torture.run("run").status().unwrap();
        assert!(started.elapsed() < Duration::from_secs(60), "{what}: {:?}", started.elapsed());
        assert!([1, 3].contains(&status.code().unwrap()), "{what}: {status}");
        for (name, verdict) in torture.verdicts("run") {
            let known = ["error", "unverifiable", "reach-unknown", "checksum-mismatch"].contains(&verdict.as_str());
            assert!(known || torture.expected[&name] == verdict, "{what}: {name} {verdict}");
        }
        torture.site.server.behave();
        torture.assert_undisturbed(&what);
    }
}

#[test]
#[ignore = "takes minutes: scripts/torture"]
fn runs_beside_each_other_come_to_the_same() {
    let torture = Torture::new();
    for round in 0..rounds(200) / 20 {
        torture.forget_all();
        let outs = ["a", "b", "c"];
        let children: Vec<Child> = outs.iter().map(|out| torture.run(out).spawn().unwrap()).collect();
        for mut child in children {
            child.wait().unwrap();
        }
        outs.iter().for_each(|out| assert_eq!(torture.verdicts(out), torture.expected, "round {round}"));
    }
}
