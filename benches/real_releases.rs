//! How long real releases take: cold, warm, and by hand.
//!
//! ```console
//! $ cargo bench --bench real_releases
//! ```
//!
//! *Cold* is a run with nothing built and nothing seeded: the builder gets a salt, so that Nix has no build of it, and
//! commits and index slices are deleted from the store. Crates and index files are in the cache already: the network is
//! not measured. *Warm* is the same run again. *By hand* are the same cargos over checkouts that lie ready, with the
//! same index slices, one after the other, without Nix; *in Nix* are the derivations that somebody would write for that.

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::workshop::Cargo;
use common::{Release, mirror, real_releases, shared_folder, static_program};
use serde_json::Value;

fn main() {
    let Some(releases) = real_releases() else {
        eprintln!("the real commits do not lie beside this checkout: nothing is measured");
        return;
    };
    let mirrors = shared_folder().join("mirrors");
    mirror(&releases, &mirrors);
    let folder = tempfile::tempdir().unwrap();
    let builder = salted_builder(folder.path());
    let run = |name: &str| verify(&releases, &mirrors, &builder, &folder.path().join(name));

    // Brings crates and index files into the cache, and tells what there is to build.
    let first = run("first");
    let tries = tries(&first.report);
    forget(&tries);
    let builder = salted_builder(folder.path());
    // Whether Nix can build here is tried once for each version of the builder.
    let checked = Command::new(env!("CARGO_BIN_EXE_recrate")).arg("doctor").env("RECRATE_BUILDER", &builder).output();
    assert!(checked.is_ok());
    let run = |name: &str| verify(&releases, &mirrors, &builder, &folder.path().join(name));
    let cold = run("cold");
    let warm = run("warm");
    assert_eq!(cold.report["verdicts"], warm.report["verdicts"]);
    let check_out = |(number, build)| check_out(build, &mirrors, &folder.path().join(format!("hand-{number}")));
    let checkouts: Vec<Checkout<'_>> = tries.iter().enumerate().map(check_out).collect();
    let (in_nix, packaged_in_nix) = by_hand_in_nix(&checkouts, folder.path());
    let (hand, packaged) = by_hand(&checkouts);
    assert_eq!(packaged_in_nix, packaged, "the same cargos over the same checkouts");

    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{} releases, {} builds, {cores} cores", releases.len(), tries.len());
    println!("by hand  {:>6.2} s", hand.as_secs_f64());
    println!("in Nix   {:>6.2} s   derivations made by hand", in_nix.as_secs_f64());
    let ratio = |to: Duration| cold.time.as_secs_f64() / to.as_secs_f64();
    println!(
        "cold     {:>6.2} s   {:.2} times by hand, {:.2} times in Nix    driver's peak {} MB",
        cold.time.as_secs_f64(),
        ratio(hand),
        ratio(in_nix),
        cold.peak
    );
    let ratio = warm.time.as_secs_f64() / cold.time.as_secs_f64();
    println!(
        "warm     {:>6.2} s   {ratio:.3} times cold        driver's peak {} MB",
        warm.time.as_secs_f64(),
        warm.peak
    );
}

/// recrate's builder with something at its end that no other run has.
fn salted_builder(folder: &Path) -> PathBuf {
    let builder = static_program("recrate-builder");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let salted = folder.join(now.to_string()).join("recrate-builder");
    std::fs::create_dir(salted.parent().unwrap()).unwrap();
    std::fs::copy(builder, &salted).expect("`cargo build-builder` makes the builder");
    write!(std::fs::File::options().append(true).open(&salted).unwrap(), "{now}").unwrap();
    salted
}

struct Measured {
    report: Value,
    time: Duration,
    /// In MB.
    peak: u64,
}

fn verify(releases: &[Release], mirrors: &Path, builder: &Path, out: &Path) -> Measured {
    let mut recrate = Command::new(env!("CARGO_BIN_EXE_recrate"));
    recrate.arg("verify").args(releases.iter().map(Release::id)).arg("--out").arg(out).env("RECRATE_BUILDER", builder);
    recrate.args(["--format", "json", "--toolchains", "imported", "--quiet"]);
    recrate.arg(format!("--git-mirror=https://github.com/={}/", mirrors.display()));
    let start = Instant::now();
    let mut child = recrate.stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        // The kernel keeps the peak itself: the last look is the one that counts.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let said = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = said.map_or(peak, |kilobytes| kilobytes / 1000);
        std::thread::sleep(Duration::from_millis(5));
    }
    let time = start.elapsed();
    let report = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    Measured { report, time, peak }
}

/// One build: what decides it.
struct Build {
    id: String,
    repository: String,
    commit: String,
    path: String,
    drv: String,
    minor: u32,
}

/// Every build of a run, once.
fn tries(report: &Value) -> Vec<Build> {
    let mut builds: Vec<Build> = Vec::new();
    for krate in report["packages"].as_array().unwrap() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for tried in krate["attempts"].as_array().unwrap() {
            let drv = text(&tried["drv"]);
            if builds.iter().all(|build| build.drv != drv) {
                builds.push(Build {
                    id: format!("{}-{}", text(&krate["name"]), text(&krate["version"])),
                    repository: text(&krate["findings"]["origin"]["repository"]),
                    commit: text(&krate["findings"]["origin"]["commit"]),
                    path: text(&krate["findings"]["origin"]["path"]),
                    drv,
                    minor: text(&tried["toolchain"]).split('.').nth(1).unwrap().parse().unwrap(),
                });
            }
        }
    }
    builds
}

/// What a derivation tells the builder.
fn recipe(drv: &str) -> Value {
    let output = Command::new("nix-store").args(["--query", "--binding", "recipe", drv]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Deletes commits and index slices from the store, as far as nobody else holds them.
fn forget(builds: &[Build]) {
    for build in builds {
        let recipe = recipe(&build.drv);
        let paths = [&recipe["commit"]["source"], &recipe["index"]].map(|path| path.as_str().unwrap().to_owned());
        let _ =
            Command::new("nix-store").arg("--delete").args(paths).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// A checkout that lies ready for a build.
struct Checkout<'a> {
    build: &'a Build,
    tree: PathBuf,
    /// The store path of the index slice.
    index: String,
}

fn check_out<'a>(build: &'a Build, mirrors: &Path, place: &Path) -> Checkout<'a> {
    let tree = place.join("tree");
    std::fs::create_dir_all(place).unwrap();
    let mirror = format!("{}.git", build.repository.trim_start_matches("https://github.com/"));
    git(&["init", "-q", tree.to_str().unwrap()]);
    let from = mirrors.join(mirror);
    let inside = ["-C", tree.to_str().unwrap()];
    git(&[&inside[..], &["fetch", "-q", "--depth=1", from.to_str().unwrap(), &build.commit]].concat());
    git(&[&inside[..], &["checkout", "-q", &build.commit]].concat());
    let recipe = recipe(&build.drv);
    let lock = &recipe["publishedLockfile"];
    for path in lock["folders"].as_array().into_iter().flatten() {
        let content = lock["content"].as_str().unwrap();
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, content).unwrap();
        std::fs::write(tree.join(path.as_str().unwrap()).join("Cargo.lock"), bytes).unwrap();
    }
    Checkout { build, tree, index: recipe["index"].as_str().unwrap().to_owned() }
}

impl Checkout<'_> {
    /// cargo's configuration: the index slice in place of the default registry.
    fn config(&self) -> String {
        format!("[source.crates-io]\nreplace-with = \"here\"\n[source.here]\nlocal-registry = \"{}\"\n", self.index)
    }

    fn cargo(&self) -> Command {
        Cargo::find(self.build.minor).expect("it was used before").command()
    }
}

/// How cargo is called.
const PACKAGE: [&str; 4] = ["package", "--no-verify", "--offline", "--allow-dirty"];

/// Runs the same cargos over checkouts that lie ready.
/// Gives the time, and how many crates came of it.
fn by_hand(checkouts: &[Checkout<'_>]) -> (Duration, usize) {
    let prepare = |checkout: &Checkout<'_>| {
        let place = checkout.tree.parent().unwrap();
        let home = place.join("home");
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("config.toml"), checkout.config()).unwrap();
        std::fs::write(home.join("config"), checkout.config()).unwrap();
        let mut cargo = checkout.cargo();
        cargo.args(PACKAGE).current_dir(checkout.tree.join(&checkout.build.path));
        cargo.env("CARGO_HOME", &home).env("CARGO_TARGET_DIR", place.join("target"));
        cargo.stdout(Stdio::null()).stderr(Stdio::null());
        (checkout.build.id.clone(), cargo)
    };
    let mut commands: Vec<_> = checkouts.iter().map(prepare).collect();
    let start = Instant::now();
    let mut packaged = 0;
    for (id, command) in &mut commands {
        // Some refuse, as they do in the sandbox: that takes its time, too.
        let status = command.status();
        packaged += usize::from(status.unwrap_or_else(|error| panic!("{id}: {error}")).success());
    }
    (start.elapsed(), packaged)
}

/// The derivations that somebody would write for that: the same cargos over the same checkouts, which are in the store, in Nix's
/// sandbox with the host's shell.
fn by_hand_in_nix(checkouts: &[Checkout<'_>], folder: &Path) -> (Duration, usize) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let add = |checkout: &Checkout<'_>| {
        let output = Command::new("nix-store").arg("--add").arg(&checkout.tree).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let derivation = |checkout: &Checkout<'_>| {
        let cargo = checkout.cargo();
        let words = std::iter::once(cargo.get_program()).chain(cargo.get_args()).map(|word| word.to_str().unwrap());
        let cargo = words.chain(PACKAGE).collect::<Vec<_>>().join(" ");
        serde_json::json!({
            "name": checkout.build.id.replace(['+', '_'], "-"), "checkout": add(checkout), "index": checkout.index,
            "config": checkout.config(), "package": checkout.build.path, "cargo": cargo, "salt": now.to_string(),
        })
    };
    let all: Vec<Value> = checkouts.iter().map(derivation).collect();
    std::fs::write(folder.join("all.json"), serde_json::to_vec(&all).unwrap()).unwrap();
    let script = "export PATH=/usr/bin:/bin CARGO_HOME=$PWD/home CARGO_TARGET_DIR=$PWD/target; mkdir home; \
        printf %s \"$config\" > home/config.toml; cp home/config.toml home/config; \
        cp -r $checkout tree; chmod -R u+w tree; cd tree/$package; $cargo; \
        cp $CARGO_TARGET_DIR/package/*.crate $out || : > $out";
    let expression = format!(
        "map (one: derivation (one // {{ system = builtins.currentSystem; builder = \"/bin/sh\"; \
         args = [ \"-c\" {} ]; checkout = builtins.storePath one.checkout; index = builtins.storePath one.index; }})) \
         (builtins.fromJSON (builtins.readFile {}/all.json))",
        serde_json::to_string(&script.replace('$', "\\$")).unwrap().replace("\\\\$", "\\$"),
        folder.display()
    );
    std::fs::write(folder.join("all.nix"), expression).unwrap();
    let toolchains = checkouts.iter().map(|checkout| checkout.cargo().get_program().to_owned());
    let mut seen: Vec<String> = ["/bin", "/usr", "/lib", "/lib64"].map(str::to_owned).into();
    for loader in toolchains {
        let toolchain = Path::new(&loader).parent().and_then(Path::parent).unwrap();
        let toolchain = toolchain.display().to_string();
        if !seen.contains(&toolchain) {
            seen.push(toolchain);
        }
    }
    let start = Instant::now();
    let mut build = Command::new("nix-build");
    build.arg(folder.join("all.nix")).args(["--no-out-link", "--option", "sandbox-paths", &seen.join(" ")]);
    let output = build.output().unwrap();
    let time = start.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let outputs = String::from_utf8(output.stdout).unwrap();
    let is_crate = |path: &&str| std::fs::metadata(path).is_ok_and(|output| output.len() > 0);
    (time, outputs.lines().filter(is_crate).count())
}

fn git(arguments: &[&str]) {
    assert!(Command::new("git").args(arguments).stderr(Stdio::null()).status().unwrap().success(), "{arguments:?}");
}
