//! Any Nix: those of other Debian releases, each with an empty `/nix` of its own, as root and as a user whom the daemon
//! does not trust.

mod common;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::daemon::install;
use common::server::Server;
use common::{root, shared_folder};
use libtest_mimic::{Arguments, Trial};
use serde_json::Value;

/// Suites of Debian, and the Nix that each had when this was written.
const SUITES: [(&str, &str); 2] = [("trixie", "2.26"), ("forky", "2.34")];

/// Namespaces with a `/nix` of their own are root's; elsewhere the tests are reported as ignored.
fn main() {
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut tests = vec![Trial::test("the_machines_own_nix_and_its_untrusted_user", || {
        holds(&Nix { wrapped: None });
        Ok(())
    })];
    tests.extend(SUITES.map(|(suite, version)| {
        Trial::test(format!("nix_of_{suite}_{version}_derives_builds_and_says_the_same"), move || {
            holds(&Nix::of(suite));
            Ok(())
        })
    }));
    let tests = tests.into_iter().map(|test| test.with_ignored_flag(!is_root)).collect();
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

/// Where other Nix versions lie; fetched once, by whoever comes first.
fn nixes() -> PathBuf {
    static FETCHED: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one_at_a_time = FETCHED.lock();
    let nixes = shared_folder().join("nix");
    let fetched = Command::new(root().join("scripts/debian-packages"))
        .arg(&nixes)
        .args(SUITES.map(|(suite, _)| format!("{suite}/nix-bin")))
        .stdout(std::process::Stdio::null())
        .status();
    assert!(fetched.unwrap().success(), "Debian can be reached");
    nixes
}

/// A Nix to put before the machine's own.
struct Nix {
    wrapped: Option<PathBuf>,
}

impl Nix {
    /// That of a suite of Debian, run with its own loader and libraries.
    fn of(suite: &str) -> Self {
        let package = nixes().join(format!("{suite}-nix-bin"));
        let libraries = package.join("usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
        let loader = std::fs::read_dir(&libraries).unwrap().map(|entry| entry.unwrap().path());
        let loader =
            loader.into_iter().find(|path| path.file_name().unwrap().to_string_lossy().starts_with("ld-linux"));
        let (loader, wrapped) = (loader.unwrap(), package.join("wrapped"));
        std::fs::create_dir_all(&wrapped).unwrap();
        for name in ["nix", "nix-build", "nix-daemon", "nix-instantiate", "nix-store"] {
            let script = format!(
                "#!/bin/sh\nexec {} --library-path {} --argv0 {name} {} \"$@\"\n",
                loader.display(),
                libraries.display(),
                package.join("usr/bin/nix").display()
            );
            std::fs::write(wrapped.join(name), script).unwrap();
            std::fs::set_permissions(wrapped.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { wrapped: Some(wrapped) }
    }

    /// Runs a shell script in a namespace where `/nix` is the folder `nix` below `place`; gives what it printed.
    fn run(&self, place: &Path, script: &str) -> String {
        std::fs::create_dir_all(place.join("nix")).unwrap();
        let mut shell = Command::new("unshare");
        shell.args(["--mount", "sh", "-euc", &format!("mount --bind '{}/nix' /nix\n{script}", place.display())]);
        shell.current_dir(place);
        // What its package would have set up: its own build hook, and nothing of the host in the sandbox.
        let mut settings = "substitute = false\nsandbox-paths =\n".to_owned();
        if let Some(wrapped) = &self.wrapped {
            let path = std::env::var("PATH").unwrap();
            shell.env("PATH", format!("{}:{path}", wrapped.display()));
            settings += &format!("build-hook = {}/nix __build-remote\n", wrapped.display());
        }
        let output = shell.env("NIX_CONFIG", settings).output().unwrap();
        let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{script}\n{said}\n{wrong}");
        said.into_owned()
    }
}

fn report(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).unwrap()
}

fn holds(nix: &Nix) {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let recrate = install(place, Path::new(env!("CARGO_BIN_EXE_recrate")));
    let verify = format!(
        "'{}' verify --quiet --data '{}' '{}'",
        recrate.display(),
        place.join("data").display(),
        place.join("example/Cargo.lock").display()
    );
    // The reference: the machine's own Nix on its own store.
    let plainly = |command: &str| {
        let done = Command::new("sh").args(["-c", command]).current_dir(place).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    // What the example has to reject is rejected.
    let rejects = "|| [ $? = 1 ]";
    plainly(&format!("{verify} --out own {rejects}"));
    let expected = report(&place.join("own"));

    // Root, alone, on an empty store.
    nix.run(place, &format!("{verify} --out alone {rejects}"));
    assert_eq!(report(&place.join("alone")), expected, "verdicts, derivations and outputs");
    let said = nix.run(place, &format!("'{}' doctor --data data", recrate.display()));
    assert!(said.contains("on (a probe was built)") && !said.contains("fix:"), "{said}");

    // Plain Nix on a store that has recrate's programs and cargos: it fetches everything else itself.
    let served = place.join("served");
    std::fs::create_dir(&served).unwrap();
    for part in ["registry", "repositories"] {
        std::os::unix::fs::symlink(place.join("example").join(part), served.join(part)).unwrap();
    }
    let server = Server::of(&served);
    let address = server.address();
    let plain = place.join("plain");
    std::fs::create_dir(&plain).unwrap();
    let script = format!(
        "nix-store --add-fixed --recursive sha256 ../bin/recrate-* ../data/toolchains/*/cargo-* >/dev/null\n\
         export RECRATE_GIT_MIRRORS='https://git.example/recrate/={address}/repositories/'\n\
         export RECRATE_REGISTRY='{address}/registry/index/'\n\
         out=$(nix-build '{}/nix/plan.nix' -A report --no-out-link --argstr planFile '{}/own/plan.json' \
             --argstr crates '{address}/registry')\n\
         cat $out/report.txt",
        root().display(),
        place.display()
    );
    let said = nix.run(&plain, &script);
    let counts: usize = expected["packages"].as_array().unwrap().len();
    assert!(
        said.contains(&format!("{counts} packages: 1 checksum mismatch")) && said.contains("4 reproduced"),
        "{said}"
    );
    assert!(server.asked().iter().any(|line| line.contains("git-upload-pack")), "commits were fetched");

    // A bundle that the machine's own Nix wrote, by its README's commands.
    let export = "reproduce honest@1.0.0 --quiet --run own --export bundle --data data --out reproduced";
    plainly(&format!("'{}' {export}", recrate.display()));
    let how_to = std::fs::read_to_string(place.join("bundle/README")).unwrap();
    let commands: Vec<&str> = how_to.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    let other = place.join("other");
    std::fs::create_dir(&other).unwrap();
    let said = nix.run(&other, &format!("cd ../bundle\n{}", commands.join("\n")));
    assert!(said.contains("reproduced (1)\n  honest 1.0.0\n"), "{said}");

    // A user whom the daemon does not trust, on another empty store.
    let multi = place.join("multi");
    std::fs::create_dir(&multi).unwrap();
    let script = format!(
        "nix-daemon >daemon.log 2>&1 &\ndaemon=$!\ntrap 'kill $daemon' EXIT\n\
         while [ ! -S /nix/var/nix/daemon-socket/socket ]; do sleep 0.05; done\n\
         cd ../home\nunset NIX_CONFIG\nexport NIX_REMOTE=daemon HOME=\"$PWD\"\n\
         setpriv --reuid 65534 --regid 65534 --clear-groups -- {verify} --out run {rejects}"
    );
    nix.run(&multi, &script);
    assert_eq!(report(&place.join("home/run")), expected, "verdicts, derivations and outputs");
    let log = std::fs::read_to_string(multi.join("daemon.log")).unwrap();
    assert!(log.contains("user nobody") && !log.contains("trusted"), "{log}");
}
