//! Publishing under the gate: real cargos, a real registry, a real repository behind a server. Nothing reaches the registry but what the
//! sandbox made of a pushed commit.

mod common;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sha2::Digest as _;

use common::author::{Author, TOKEN, manifest, problems, said, silent};
use common::issuer::{self, Issuer};
use common::workshop::Cargo;

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn succeed(command: &mut Command) -> String {
    let done = run(command);
    assert!(done.status.success(), "{command:?}: {}", said(&done));
    said(&done)
}

/// That a command is refused, and nothing was sent to the registry; gives what it said.
fn refuse(author: &Author, command: &mut Command) -> String {
    let before = author.registry.uploads();
    let done = run(command);
    let said = said(&done);
    assert!(!done.status.success(), "{said}");
    assert_eq!(author.registry.uploads(), before, "{said}");
    said
}

#[test]
fn the_registry_has_what_the_sandbox_made_whichever_cargo_publishes() {
    for minor in [Some(78), Some(85), Some(97), None] {
        let author = Author::new();
        let author = match minor {
            Some(minor) => author.with_cargo(minor),
            None => author,
        };
        let author = author.with_package("plain");
        let report = author.check(&[]);
        let sandbox = report["packages"][0]["sandbox"].as_str().unwrap().to_owned();
        assert_eq!(report["packages"][0]["here"], sandbox.as_str());
        // With one setting, as the author has always done it.
        succeed(&mut author.cargo(&["publish", "--registry", "own", "--no-verify"]));
        assert_eq!(author.registry.has("plain-0.1.0"), Some(sandbox), "{minor:?}");
        author.package("", "plain", "0.2.0", "");
        author.lock("plain", "0.2.0");
        author.commit();
        author.push();
        // And in one go.
        let told = succeed(&mut author.recrate("publish", &[]));
        let sha256 = author.registry.has("plain-0.2.0").unwrap();
        assert!(
            told.contains(&format!("the registry serves sha256 {sha256}, which is what the sandbox made")),
            "{told}"
        );
        assert_eq!(author.registry.uploads(), 2);
    }
}

#[test]
fn what_was_not_approved_is_refused_before_a_byte_is_sent() {
    let author = Author::new().with_package("gated");
    let publish = ["publish", "--registry", "own", "--no-verify", "--allow-dirty"];
    let told = refuse(&author, &mut author.cargo(&publish));
    assert!(told.contains("nothing approves it") && told.contains("run `recrate check gated`"), "{told}");

    let report = author.check(&["--approve-for", "1s"]);
    assert!(report["packages"][0]["approvedUntil"].is_string(), "{report}");
    std::thread::sleep(Duration::from_millis(1100));
    let told = refuse(&author, &mut author.cargo(&publish));
    assert!(told.contains("its approval ended at") && told.contains("--approve-for"), "{told}");

    let approved = author.check(&[])["packages"][0]["sandbox"].as_str().unwrap().to_owned();
    author.write("src/lib.rs", "//! Published?\n");
    let told = refuse(&author, &mut author.cargo(&publish));
    assert!(told.contains(&format!("the sandbox made {approved}")), "{told}");
    assert!(told.contains("cargo would upload sha256 "), "{told}");
    assert!(told.contains("the first file that differs is src/lib.rs: the tree is dirty"), "{told}");

    author.commit();
    let told = refuse(&author, &mut author.cargo(&publish));
    assert!(told.contains(".cargo_vcs_info.json: it was packaged from another commit"), "{told}");

    // A failed check takes the approval back.
    author.git(&["reset", "-q", "--hard", "HEAD~1"]);
    author.write("src/lib.rs", "//! Dirty.\n");
    let report = author.check(&[]);
    assert_eq!(problems(&report["packages"][0]), [("error", "dirty")]);
    author.git(&["checkout", "-q", "."]);
    let told = refuse(&author, &mut author.cargo(&publish));
    assert!(told.contains("nothing approves it"), "{told}");

    // Another package's approval is none, nor is one for another registry.
    author.check(&[]);
    author.write(
        &author.home().join("config.toml").display().to_string(),
        &std::fs::read_to_string(author.home().join("config.toml")).unwrap().replace("127.0.0.1", "localhost"),
    );
    let told = refuse(&author, &mut author.cargo(&publish));
    assert!(told.contains("nothing approves it"), "{told}");
}

#[test]
fn another_cargo_is_named() {
    let author = Author::new();
    let old = author.script(78, &Cargo::find(78).unwrap());
    let author = author.with_package("cargos");
    author.check(&[]);
    let mut publish = author.cargo(&["publish", "--registry", "own", "--no-verify"]);
    let mut other = Command::new(old);
    other.args(publish.get_args()).current_dir(author.tree()).env("CARGO", author.folder.path().join("cargo-1.78"));
    for (name, value) in publish.get_envs() {
        if let (Some(value), true) = (value, name != "CARGO") {
            other.env(name, value);
        }
    }
    let told = refuse(&author, &mut other);
    assert!(told.contains("the first file that differs is") && told.contains("cargo"), "{told}");
    assert!(told.contains("cargo here is 1.78.0: the approval is for 1."), "{told}");
    succeed(&mut publish);
}

#[test]
fn a_file_that_is_swapped_after_packaging_is_refused() {
    let author = Author::new();
    author.begin("swapped");
    author.package("", "swapped", "0.1.0", "");
    author.lock("swapped", "0.1.0");
    // What a build script of any dependency could do while cargo verifies.
    author.write(
        "build.rs",
        r#"fn main() {
    let file = std::env::current_dir().unwrap();
    let stem = "swapped-0.1.0.crate";
    for above in file.ancestors() {
        for place in [above.join(stem), above.join("tmp-crate").join(stem)] {
            if place.is_file() {
                use std::io::Write;
                std::fs::OpenOptions::new().append(true).open(place).unwrap().write_all(b"more").unwrap();
            }
        }
    }
}
"#,
    );
    author.commit();
    author.push();
    author.check(&[]);
    let told = refuse(&author, &mut author.cargo(&["publish", "--registry", "own"]));
    assert!(told.contains("recrate refuses to publish swapped@0.1.0"), "{told}");
    let told = refuse(&author, &mut author.recrate("publish", &[]));
    assert!(told.contains("it is not published"), "{told}");
}

#[test]
fn code_that_is_built_does_not_see_the_token() {
    let author = Author::new();
    author.begin("nosy");
    author.package("", "nosy", "0.1.0", "");
    author.lock("nosy", "0.1.0");
    author.write(
        "build.rs",
        "fn main() {\n    for name in [\"CARGO_REGISTRIES_OWN_TOKEN\", \"ACTIONS_ID_TOKEN_REQUEST_TOKEN\", \"RECRATE_ID_TOKEN\"] {\n        \
         assert!(std::env::var_os(name).is_none(), \"{name}\");\n    }\n}\n",
    );
    author.commit();
    author.push();
    let mut publish = author.recrate("publish", &[]);
    succeed(publish.env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "x").env("RECRATE_ID_TOKEN", "x"));
}

#[test]
fn a_check_says_what_is_wrong_and_what_to_do() {
    let author = Author::new().with_package("checked");
    let told = |report: &serde_json::Value| {
        problems(&report["packages"][0]).iter().map(|(_, name)| (*name).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told(&author.check(&[])), ["no-tag"]);

    author.write("src/lib.rs", "//! Not pushed.\n");
    author.commit();
    let report = author.check(&[]);
    assert_eq!(told(&report), ["commit-not-pushed"]);
    assert!(report["packages"][0]["problems"][0]["fix"].as_str().unwrap().starts_with("push it"), "{report}");
    let done = run(&mut author.recrate("publish", &[]));
    assert_eq!((done.status.code(), author.registry.uploads()), (Some(1), 0), "{}", said(&done));
    author.push();

    author.git(&["tag", "v0.1.0", "HEAD~1"]);
    author.git(&["push", "-q", "origin", "v0.1.0"]);
    assert_eq!(told(&author.check(&[])), ["tag-elsewhere"]);
    let done = run(&mut author.recrate("publish", &[]));
    assert_eq!((done.status.code(), author.registry.uploads()), (Some(1), 0), "{}", said(&done));
    author.git(&["push", "-q", "origin", ":v0.1.0"]);
    author.git(&["tag", "-f", "v0.1.0", "HEAD"]);
    author.git(&["push", "-q", "origin", "v0.1.0"]);
    assert_eq!(told(&author.check(&[])), [""; 0]);

    // git does not look, and neither does cargo.
    author.git(&["update-index", "--assume-unchanged", "src/lib.rs"]);
    author.write("src/lib.rs", "//! Smuggled.\n");
    let report = author.check(&[]);
    assert_eq!(told(&report), ["crate-differs"]);
    assert!(report["packages"][0]["problems"][0]["message"].as_str().unwrap().contains("src/lib.rs"), "{report}");
    author.git(&["update-index", "--no-assume-unchanged", "src/lib.rs"]);
    author.git(&["checkout", "-q", "."]);

    // A branch that was deleted does not count, though its commit was there a moment ago.
    author.write("src/lib.rs", "//! On a branch.\n");
    author.commit();
    author.git(&["push", "-q", "origin", "HEAD:refs/heads/topic"]);
    assert_eq!(told(&author.check(&[])), ["tag-elsewhere"]);
    author.git(&["push", "-q", "origin", ":refs/heads/topic", ":v0.1.0"]);
    assert_eq!(told(&author.check(&[])), ["commit-not-reached"]);
    author.git(&["reset", "-q", "--hard", "HEAD~1"]);

    succeed(&mut author.recrate("publish", &[]));
    assert_eq!(told(&author.check(&[]))[0], "version-taken");
    author.write("Cargo.toml", &manifest("checked", "0.1.0+again", "publish = false\n"));
    let report = author.check(&[]);
    assert!(
        told(&report).contains(&"publish-forbidden".to_owned()) && told(&report).contains(&"version-taken".to_owned()),
        "{report}"
    );
}

#[test]
fn line_endings_of_this_checkout_are_noticed() {
    let author = Author::new().with_package("crlf");
    author.git(&["config", "core.autocrlf", "true"]);
    std::fs::remove_file(author.tree().join("src/lib.rs")).unwrap();
    author.git(&["checkout", "-q", "."]);
    let report = author.check(&[]);
    assert_eq!(problems(&report["packages"][0])[0], ("error", "checkout-converted"), "{report}");
}

#[test]
fn a_workspace_is_published_in_order_and_only_what_was_approved() {
    for minor in [85, 97] {
        let author = Author::new().with_cargo(minor);
        author.begin("team");
        author.write("Cargo.toml", "[workspace]\nmembers = [\"a\", \"b\", \"c\"]\nresolver = \"2\"\n");
        author.package("b", "team-b", "0.1.0", "");
        author.package("a", "team-a", "0.1.0", "[dependencies]\nteam-b = { version = \"0.1.0\", path = \"../b\" }\n");
        author.package("c", "team-c", "0.1.0", "publish = false\n");
        author.commit();
        author.push();
        if minor == 97 {
            // Only one of them is approved.
            author.check(&["team-b"]);
            let told = run(&mut author.cargo(&["publish", "--workspace", "--registry", "own", "--no-verify"]));
            assert!(said(&told).contains("recrate refuses to publish team-a@0.1.0"), "{}", said(&told));
            assert_eq!((author.registry.uploads(), author.registry.has("team-a-0.1.0")), (1, None));
        }
        let told = succeed(&mut author.recrate("publish", &["--workspace"]));
        for stem in ["team-a-0.1.0", "team-b-0.1.0"] {
            let sha256 = author.registry.has(stem).unwrap();
            assert!(told.contains(&format!("the registry serves sha256 {sha256}")), "{told}");
        }
        assert_eq!(author.registry.uploads(), 2);
        let again = succeed(&mut author.recrate("publish", &["--workspace"]));
        assert!(again.contains("team-a@0.1.0 is published already"), "{again}");
        assert_eq!(author.registry.uploads(), 2);
    }
}

#[test]
fn where_no_lock_file_is_tracked_the_sandboxs_is_laid_into_the_checkout() {
    let author = Author::new();
    author.begin("needed");
    author.package("", "needed", "1.0.0", "");
    author.commit();
    author.push();
    succeed(&mut author.recrate("publish", &[]));
    std::fs::remove_dir_all(author.tree()).unwrap();

    author.begin("loose");
    author.package("", "loose", "0.1.0", "[dependencies]\nneeded = \"1\"\n");
    author.write(".gitignore", "target\nCargo.lock\n");
    author.commit();
    author.push();
    succeed(&mut author.cargo(&["generate-lockfile"]));
    let old = std::fs::read_to_string(author.tree().join("Cargo.lock")).unwrap();

    // A new version comes out: the lock file here is older than the index.
    let other = author.folder.path().join("other");
    std::fs::rename(author.tree(), &other).unwrap();
    author.begin("needed");
    author.package("", "needed", "1.0.1", "");
    author.commit();
    author.git(&["push", "-q", "-f", "origin", "HEAD:main"]);
    succeed(&mut author.recrate("publish", &[]));
    std::fs::remove_dir_all(author.tree()).unwrap();
    std::fs::rename(&other, author.tree()).unwrap();

    let report = author.check(&[]);
    assert_eq!(problems(&report["packages"][0])[0], ("error", "lock-differs"), "{report}");
    let told = succeed(&mut author.recrate("publish", &[]));
    assert!(told.contains("Cargo.lock is not tracked: the sandbox's is used while loose@0.1.0 is published"), "{told}");
    assert_eq!(author.registry.has("loose-0.1.0").unwrap(), report["packages"][0]["sandbox"].as_str().unwrap());
    assert_eq!(
        std::fs::read_to_string(author.tree().join("Cargo.lock")).unwrap(),
        old,
        "what was there is there again"
    );

    // A run that was killed has left the sandbox's there; what somebody has written since stays.
    let tree = author.tree().canonicalize().unwrap();
    let hash = |text: &[u8]| format!("{:x}", sha2::Sha256::digest(text));
    let note = format!("target/recrate-publish/laid-{}.json", &hash(tree.to_str().unwrap().as_bytes())[..16]);
    for (now, then) in [("laid", old.as_str()), ("written since", "written since")] {
        author.write("Cargo.lock", now);
        let left = serde_json::json!({ "place": tree.join("Cargo.lock"), "laid": hash(b"laid"), "before": old });
        author.write(&note, &left.to_string());
        // It can't be packaged with that.
        let told = said(&run(&mut author.recrate("publish", &[])));
        assert_eq!(std::fs::read_to_string(author.tree().join("Cargo.lock")).unwrap(), then, "{told}");
        assert!(!author.tree().join(&note).exists());
    }
    author.write("Cargo.lock", &old);

    // What a link leads to is not touched.
    author.package("", "loose", "0.2.0", "[dependencies]\nneeded = \"1\"\n");
    author.commit();
    author.push();
    let elsewhere = author.folder.path().join("elsewhere.lock");
    std::fs::rename(author.tree().join("Cargo.lock"), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, author.tree().join("Cargo.lock")).unwrap();
    let told = refuse(&author, &mut author.recrate("publish", &[]));
    assert!(told.contains("is no plain file, and not tracked"), "{told}");
    assert!(std::fs::symlink_metadata(author.tree().join("Cargo.lock")).unwrap().is_symlink());
}

#[test]
fn a_run_that_is_killed_goes_on_and_uploads_nothing_twice() {
    let author = Author::new().with_package("killed");
    for (at, wait) in [20, 60, 120, 180, 240, 300, 360, 420, 480, 560, 640, 720].into_iter().enumerate() {
        let version = format!("0.{}.0", at + 2);
        author.write("Cargo.toml", &manifest("killed", &version, ""));
        author.lock("killed", &version);
        author.commit();
        author.push();
        let before = author.registry.uploads();
        let mut command = author.recrate("publish", &["--no-verify"]);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = silent(&mut command).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        // With all that it has started.
        let group = format!("-{}", child.id());
        let _ = silent(Command::new("kill").args(["-9", "--", &group])).status();
        let _ = child.wait();
        let done = run(&mut author.recrate("publish", &["--no-verify", "--wait", "3"]));
        let (told, sent) = (said(&done), author.registry.uploads() - before);
        if told.contains("it is not sent twice") {
            // Between the token and the first byte: nobody knows.
            assert_eq!(sent, 0, "after {wait} ms: {told}");
            continue;
        }
        assert!(done.status.success() && author.registry.has(&format!("killed-{version}")).is_some(), "{told}");
        assert_eq!(sent, 1, "after {wait} ms: {told}");
    }
}

#[test]
fn a_token_is_nowhere() {
    let author = Author::new().with_package("secret");
    let seen = Arc::new(AtomicBool::new(false));
    let stop = Arc::new(AtomicBool::new(false));
    let (watching, ended) = (Arc::clone(&seen), Arc::clone(&stop));
    let watcher = std::thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) {
            for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                if String::from_utf8_lossy(&line).contains(TOKEN) {
                    watching.store(true, Ordering::Relaxed);
                }
            }
        }
    });
    let mut told = String::new();
    author.write("src/lib.rs", "//! Dirty.\n");
    told += &said(&run(author
        .cargo(&["publish", "-vv", "--registry", "own", "--allow-dirty"])
        .env("RECRATE_LOG", "trace")));
    author.git(&["checkout", "-q", "."]);
    told += &succeed(author.recrate("publish", &[]).env("RECRATE_LOG", "trace"));
    told += &said(&run(author
        .recrate("upload", &["--any", "target/recrate-publish/package/secret-0.1.0.crate"])
        .env("RECRATE_LOG", "trace")));
    stop.store(true, Ordering::Relaxed);
    watcher.join().unwrap();
    assert!(author.registry.has("secret-0.1.0").is_some(), "{told}");
    assert!(!told.contains(TOKEN), "{told}");
    assert!(!seen.load(Ordering::Relaxed), "a process list had it");
    let grep = Command::new("grep").args(["-rlaF", TOKEN]).arg(author.folder.path()).output().unwrap();
    let files = String::from_utf8_lossy(&grep.stdout).into_owned();
    assert_eq!(files, "", "files have it");
}

#[test]
fn the_identity_of_a_job_is_exchanged_only_for_what_passes_and_taken_back() {
    let author = Author::new();
    let issuer = Issuer::start(&author.registry.address);
    author.trust(&issuer.address, "tr");
    let author = author.with_package("trusted");
    let as_job = |command: &mut Command| -> Output {
        command
            .env_remove("CARGO_REGISTRIES_OWN_TOKEN")
            .env("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{}/oidc?x=1", issuer.address));
        run(command.env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", issuer::BEARER))
    };
    let gate = format!("{} credential --trusted-publishing", env!("CARGO_BIN_EXE_recrate"));
    let publish = ["publish", "--registry", "own", "--no-verify"];
    let done = as_job(author.cargo(&publish).env("CARGO_REGISTRIES_OWN_CREDENTIAL_PROVIDER", &gate));
    assert!(said(&done).contains("nothing approves it"), "{}", said(&done));
    assert_eq!(issuer.asked(), [""; 0]);

    author.check(&[]);
    let done = as_job(author.cargo(&publish).env("CARGO_REGISTRIES_OWN_CREDENTIAL_PROVIDER", &gate));
    assert!(done.status.success(), "{}", said(&done));
    assert_eq!(issuer.asked(), ["identity for 127.0.0.1", "exchange", "upload"]);

    author.package("", "trusted", "0.2.0", "");
    author.lock("trusted", "0.2.0");
    author.commit();
    author.push();
    let done = as_job(&mut author.recrate("publish", &["--trusted-publishing"]));
    assert!(done.status.success() && !said(&done).contains(issuer::TOKEN), "{}", said(&done));
    assert_eq!(issuer.asked(), ["identity for 127.0.0.1", "exchange", "upload", "take back"]);
    assert!(author.registry.has("trusted-0.2.0").is_some());

    // A crate that the registry does not know this job for.
    author.package("", "trusted", "0.3.0", "");
    author.lock("trusted", "0.3.0");
    author.commit();
    author.push();
    issuer.refuse();
    let done = as_job(&mut author.recrate("publish", &["--trusted-publishing"]));
    assert_eq!(done.status.code(), Some(1));
    assert!(said(&done).contains("a crate that is not published yet needs a token"), "{}", said(&done));
    assert!(author.registry.has("trusted-0.3.0").is_none());
}

#[test]
fn another_provider_is_asked_only_for_what_passes() {
    let author = Author::new().with_package("inner");
    let log = author.folder.path().join("inner.log");
    let inner = author.folder.path().join("inner.sh");
    let script = format!(
        "#!/bin/sh\necho '{{\"v\":[1]}}'\nread -r request\necho \"$request\" >> {}\n\
         echo '{{\"Ok\":{{\"kind\":\"get\",\"token\":\"{TOKEN}\",\"cache\":\"session\",\"operation_independent\":true}}}}'\n",
        log.display()
    );
    std::fs::write(&inner, script).unwrap();
    let gate = format!("{} credential --inner sh {} --with more", env!("CARGO_BIN_EXE_recrate"), inner.display());
    // What cargo calls as a provider is a program: a script's own interpreter would be given cargo's argument.
    let gate = gate.replace("--inner sh ", "--inner ");
    std::fs::set_permissions(&inner, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let publish = |author: &Author| {
        let mut cargo = author.cargo(&["publish", "--registry", "own", "--no-verify"]);
        cargo.env_remove("CARGO_REGISTRIES_OWN_TOKEN").env("CARGO_REGISTRIES_OWN_CREDENTIAL_PROVIDER", &gate);
        cargo
    };
    refuse(&author, &mut publish(&author));
    assert!(!log.exists(), "it was asked");
    author.check(&[]);
    succeed(&mut publish(&author));
    let asked = std::fs::read_to_string(&log).unwrap();
    assert!(asked.contains("\"operation\":\"publish\"") && asked.contains("\"args\":[\"--with\",\"more\"]"), "{asked}");
    // Those of cargo's own run inside cargo.
    let done = run(author.recrate("publish", &["--inner", "cargo:token"]).env_remove("CARGO_REGISTRIES_OWN_TOKEN"));
    assert!(said(&done).contains("is published already"), "{}", said(&done));
    let mut built_in = publish(&author);
    author.package("", "inner", "0.2.0", "");
    author.lock("inner", "0.2.0");
    author.commit();
    author.push();
    author.check(&[]);
    let gate = format!("{} credential --inner cargo:token", env!("CARGO_BIN_EXE_recrate"));
    let told = refuse(&author, built_in.env("CARGO_REGISTRIES_OWN_CREDENTIAL_PROVIDER", gate));
    assert!(told.contains("`cargo:token` runs inside cargo"), "{told}");
}

#[test]
fn no_token_is_given_for_what_nobody_asked_for() {
    let author = Author::new().with_package("asked");
    let ask = |request: &str| -> serde_json::Value {
        let mut gate = Command::new(env!("CARGO_BIN_EXE_recrate"));
        gate.arg("--cargo-plugin")
            .current_dir(author.tree())
            .env("CARGO_HOME", author.home())
            .env("CARGO_REGISTRIES_OWN_TOKEN", TOKEN);
        gate.env("RECRATE_CACHE", author.folder.path().join("cache"));
        let mut child = gate.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), format!("{request}\n").as_bytes()).unwrap();
        let told = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        serde_json::from_str(told.lines().nth(1).unwrap_or_else(|| panic!("{told}"))).unwrap()
    };
    let index = format!("sparse+{}/registry/", author.server.address());
    let get = |operation: &str, headers: &str, args: &str| {
        ask(&format!(
            r#"{{"v":1,"registry":{{"index-url":"{index}","name":"own"{headers}}},"kind":"get",{operation},"args":[{args}]}}"#
        ))
    };
    let usual = "\"credential\"";
    let sha256 = "0".repeat(64);
    // Reading takes no token where nobody asked for one, and one where a server did.
    let read = get(r#""operation":"read""#, "", usual);
    assert!(read["Ok"]["token"].is_string() && !read.to_string().contains(TOKEN), "{read}");
    let read = get(r#""operation":"read""#, r#","headers":["WWW-Authenticate: Cargo"]"#, usual);
    assert_eq!((&read["Ok"]["token"], &read["Ok"]["cache"]), (&TOKEN.into(), &"never".into()), "{read}");
    for operation in [
        format!(r#""operation":"publish","name":"asked","vers":"0.1.0","cksum":"{sha256}""#),
        r#""operation":"publish","name":"asked","vers":"0.1.0","cksum":"?""#.to_owned(),
        r#""operation":"publish","name":"../x","vers":"0.1.0","cksum":"?""#.to_owned(),
        r#""operation":"something-new""#.to_owned(),
    ] {
        for args in [usual, "", r#""verify""#, r#""credential","--nonsense""#] {
            let told = get(&operation, "", args);
            // Any other kind has cargo ask the next provider.
            assert_eq!(told["Err"]["kind"], "other", "{operation} {args}: {told}");
        }
    }
    for kind in [r#""kind":"login""#, r#""kind":"logout""#, r#""kind":"something-new""#] {
        let told =
            ask(&format!(r#"{{"v":1,"registry":{{"index-url":"{index}","name":"own"}},{kind},"args":[{usual}]}}"#));
        assert_eq!(told["Err"]["kind"], "other", "{kind}: {told}");
    }
    // Whoever calls another address crates-io gets nothing, either.
    let told = ask(&format!(
        r#"{{"v":1,"registry":{{"index-url":"{index}","name":"crates-io"}},"kind":"get","operation":"publish","name":"asked","vers":"0.1.0","cksum":"{sha256}","args":[{usual}]}}"#
    ));
    assert_eq!(told["Err"]["kind"], "other", "{told}");
}

#[test]
fn what_a_registry_does_not_show_yet_is_not_sent_again() {
    let author = Author::new().with_package("slow");
    // An index that stays as it is.
    let frozen = author.folder.path().join("served/frozen");
    std::fs::create_dir(&frozen).unwrap();
    std::fs::copy(author.registry.root.join("config.json"), frozen.join("config.json")).unwrap();
    author.configure("frozen");
    // cargo itself waits for a minute: whether it is cut off or not, it was sent.
    let mut command = author.recrate("publish", &["--no-verify", "--wait", "1"]);
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = silent(&mut command).spawn().unwrap();
    while author.registry.has("slow-0.1.0").is_none() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = silent(Command::new("kill").args(["-9", "--", &format!("-{}", child.id())])).status();
    let _ = child.wait();
    let told = refuse(&author, &mut author.recrate("publish", &["--no-verify", "--wait", "1"]));
    assert!(told.contains("an earlier run may have sent slow@0.1.0"), "{told}");
    assert_eq!(author.registry.uploads(), 1);
}

#[test]
fn a_projects_own_files_do_not_say_where_its_repository_and_its_registry_are() {
    let author = Author::new().with_package("placed");
    author.write("src/lib.rs", "//! Only here.\n");
    author.commit();
    // Another server has it.
    let other = author.folder.path().join("served/other/acme");
    std::fs::create_dir_all(&other).unwrap();
    author.git(&["clone", "-q", "--bare", ".", other.join("placed.git").to_str().unwrap()]);
    let mirror = format!(
        "[[git-mirror]]\nprefix = \"https://git.example/\"\nreplacement = \"{}/other/\"\n",
        author.server.address()
    );
    author.write("recrate.toml", &mirror);
    author.write(".git/info/exclude", "recrate.toml\n.cargo\n");
    let report = author.check(&[]);
    assert_eq!(problems(&report["packages"][0]), [("error", "commit-not-pushed")], "{report}");
    author.push();
    author.check(&[]);
    for (text, what) in [
        ("[source.crates-io]\nreplace-with = \"x\"\n[source.x]\nregistry = \"sparse+http://127.0.0.1:9/\"\n", "source"),
        ("[registries.own]\nindex = \"sparse+http://127.0.0.1:9/\"\n", "registries.own"),
        ("[registries.Own]\nindex = \"sparse+http://127.0.0.1:9/\"\n", "registries.Own"),
        ("[http]\nproxy = \"http://127.0.0.1:9\"\n", "http"),
    ] {
        author.write(".cargo/config.toml", text);
        let told = refuse(&author, &mut author.recrate("check", &[]));
        assert!(told.contains(&format!("this project's cargo configuration has {what}:")), "{told}");
        let told =
            refuse(&author, &mut author.cargo(&["publish", "--registry", "own", "--no-verify", "--allow-dirty"]));
        assert!(told.contains(what) || told.contains("127.0.0.1:9"), "{told}");
    }
}

#[test]
fn a_commit_has_to_be_named_by_the_crate_itself() {
    let author = Author::new().with_package("unnamed");
    author.git(&["tag", "v0.1.0"]);
    author.git(&["push", "-q", "origin", "v0.1.0"]);
    std::fs::remove_dir_all(author.tree().join(".git")).unwrap();
    let report = author.check(&[]);
    assert_eq!(problems(&report["packages"][0]), [("error", "not-in-git")], "{report}");
}

#[test]
fn a_submodule_has_to_be_where_others_can_fetch_it() {
    let author = Author::new();
    author.begin("part");
    author.write("data.txt", "data\n");
    author.commit();
    author.push();
    let part = author.git(&["rev-parse", "HEAD"]);
    std::fs::rename(author.tree(), author.folder.path().join("part")).unwrap();
    author.begin("whole");
    author.package("", "whole", "0.1.0", "");
    author.lock("whole", "0.1.0");
    author.write(".gitmodules", "[submodule \"part\"]\n\tpath = part\n\turl = https://git.example/acme/part\n");
    author.git(&["clone", "-q", author.folder.path().join("part").to_str().unwrap(), "part"]);
    author.commit();
    assert!(author.git(&["ls-tree", "HEAD", "part"]).contains(&part));
    author.push();
    let report = author.check(&[]);
    assert_eq!(problems(&report["packages"][0]), [("note", "no-tag")], "{report}");
    // Its branch goes; its commit is cached.
    let bare = author.folder.path().join("served/git/acme/part.git");
    let done = Command::new("git").arg("-C").arg(&bare).args(["update-ref", "-d", "refs/heads/main"]).status();
    assert!(done.unwrap().success());
    let report = author.check(&[]);
    assert_eq!(problems(&report["packages"][0])[0], ("error", "source-not-fetchable"), "{report}");
}

#[test]
fn a_name_in_other_letters_is_taken() {
    let author = Author::new().with_package("some_name");
    succeed(&mut author.recrate("publish", &["--no-verify"]));
    for name in ["some-name", "Some_name"] {
        author.package("", name, "0.2.0", "");
        author.lock(name, "0.2.0");
        author.write("Cargo.toml", &manifest(name, "0.2.0", "").replace(&format!("acme/{}", name), "acme/some_name"));
        author.commit();
        author.push();
        let report = author.check(&[]);
        assert!(problems(&report["packages"][0]).contains(&("error", "name-taken")), "{report}");
    }
}

#[test]
fn a_cargo_that_asks_nobody_publishes_nothing() {
    let author = Author::new().with_cargo(65).with_package("ungated");
    let told = refuse(&author, &mut author.recrate("publish", &[]));
    assert!(told.contains("cargo 1.65.0 asks no credential provider"), "{told}");
    for time in ["0s", "-1h", "25h"] {
        let told = refuse(&author, &mut author.recrate("check", &[&format!("--approve-for={time}")]));
        assert!(told.contains("at most 24h"), "{told}");
    }
}

#[test]
fn no_token_is_sent_to_what_is_not_https() {
    for api in ["http://crates.example:x@127.0.0.1:9", "http://crates.example", "https://user@crates.example"] {
        let author = Author::new();
        author.trust(api, "pl");
        let author = author.with_package("plain");
        author.check(&[]);
        // That takes no approval back.
        succeed(&mut author.recrate("package", &[]));
        let told = refuse(&author, &mut author.recrate("upload", &["target/package/plain-0.1.0.crate"]));
        assert!(told.contains("no token is sent to what is not https"), "{told}");
    }
}

#[test]
fn an_upload_tells_the_registry_what_cargo_tells_it() {
    let rich = "documentation = \"https://docs.example\"\nkeywords = [\"a\"]\ncategories = [\"no-std\"]\nlinks = \"rich\"\nrust-version = \"1.70\"\n\
                [features]\ndefault = [\"std\"]\nstd = []\nextra = [\"dep:renamed\", \"needed?/more\"]\n\
                [dependencies]\nneeded = { version = \"1\", optional = true, default-features = false, features = [\"more\"] }\n\
                renamed = { package = \"needed\", version = \"1.0\", optional = true }\n\
                [build-dependencies]\nneeded = \"=1.0.0\"\n\
                [dev-dependencies]\nneeded = \"*\"\n\
                [target.'cfg(windows)'.dependencies]\nneeded = { version = \">=1, <2\" }\n";
    let line = |upload: bool| {
        let author = Author::new();
        author.begin("needed");
        author.package("", "needed", "1.0.0", "[features]\nmore = []\n");
        author.commit();
        author.push();
        succeed(&mut author.recrate("publish", &["--no-verify"]));
        std::fs::remove_dir_all(author.tree()).unwrap();
        author.begin("rich");
        author.package("", "rich", "0.1.0", rich);
        author.write("build.rs", "fn main() {}\n");
        author.write("README.md", "# Rich\n");
        author.commit();
        author.push();
        if upload {
            let made = author.tree().join("target/package/rich-0.1.0.crate");
            succeed(&mut author.recrate("package", &[]));
            let told = refuse(&author, &mut author.recrate("upload", &[made.to_str().unwrap()]));
            assert!(told.contains("nothing approves it"), "{told}");
            let report = author.check(&[]);
            assert!(report["packages"][0]["approvedUntil"].is_string(), "{report}");
            succeed(&mut author.recrate("upload", &[made.to_str().unwrap()]));
        } else {
            author.check(&[]);
            succeed(&mut author.cargo(&["publish", "--registry", "own", "--no-verify"]));
        }
        let mut line = author.registry.line("ri/ch/rich");
        assert_eq!(line["cksum"].as_str(), author.registry.has("rich-0.1.0").as_deref());
        // Commits differ.
        line["cksum"] = serde_json::Value::Null;
        let deps = line["deps"].as_array_mut().unwrap();
        deps.sort_by_key(ToString::to_string);
        line
    };
    assert_eq!(line(true), line(false));
}

#[test]
fn every_problem_is_explained() {
    let schema: serde_json::Value =
        serde_json::from_slice(&std::fs::read(common::root().join("docs/check.schema.json")).unwrap()).unwrap();
    let problem = &schema["properties"]["packages"]["items"]["properties"]["problems"]["items"]["properties"]["name"];
    let page = std::fs::read_to_string(common::root().join("docs/PUBLISHING.md")).unwrap();
    for name in problem["enum"].as_array().unwrap() {
        let name = name.as_str().unwrap();
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn reports_have_the_forms_of_verify() {
    let author = Author::new().with_package("forms");
    author.write("src/lib.rs", "//! Dirty.\n");
    let folder = author.folder.path();
    let file = |name: &str| folder.join(name).display().to_string();
    let formats: Vec<String> =
        ["json", "sarif", "junit", "markdown"].iter().map(|name| format!("{name}={}", file(name))).collect();
    let mut arguments = vec!["--format", "github"];
    formats.iter().for_each(|format| arguments.extend(["--format", format]));
    let mut check = author.recrate("check", &arguments);
    let done = run(check.env("GITHUB_STEP_SUMMARY", file("summary")));
    assert_eq!(done.status.code(), Some(1));
    let told = String::from_utf8(done.stdout).unwrap();
    assert!(told.starts_with("::error file=Cargo.toml,title=forms 0.1.0%3A dirty::"), "{told}");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    common::assert_fits("check.schema.json", &serde_json::from_str(&read("json")).unwrap());
    assert!(read("junit").contains("<failure type=\"dirty\""));
    assert!(
        serde_json::from_str::<serde_json::Value>(&read("sarif")).unwrap()["runs"][0]["results"][0]["ruleId"]
            == "dirty"
    );
    assert_eq!(read("markdown"), read("summary"));
    assert!(Path::new(&file("summary")).exists());
}
