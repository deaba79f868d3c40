//! The programs for the sandbox, as `scripts/setup` builds them.

mod common;

use std::os::unix::fs::symlink;
use std::process::Command;

use common::{root, static_program};

#[test]
fn the_builder_has_the_same_bytes_wherever_it_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let (sources, home) = (folder.path().join("sources"), folder.path().join("home"));
    let tracked = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().unwrap();
    for path in String::from_utf8(tracked.stdout).unwrap().split_terminator('\0') {
        let to = sources.join(path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        let _ = std::fs::copy(root().join(path), to);
    }
    // Another folder with what was downloaded.
    std::fs::create_dir(&home).unwrap();
    let cargo = std::env::var_os("CARGO_HOME").map(Into::into);
    let cargo = cargo.unwrap_or_else(|| std::env::home_dir().expect("a home").join(".cargo"));
    for name in ["config.toml", "registry"] {
        symlink(cargo.join(name), home.join(name)).unwrap();
    }
    let mut build = Command::new(sources.join("scripts/cargo"));
    build.args(["build-builder", "--locked", "--offline", "--quiet", "--target-dir"]).arg(folder.path().join("target"));
    // Of the build that runs this test nothing is inherited.
    let inherited = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO"));
    for (name, _) in inherited {
        build.env_remove(name);
    }
    let done = build.env("CARGO_HOME", home).current_dir(&sources).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let host =
        static_program("recrate-builder").parent().unwrap().strip_prefix(root().join("target")).unwrap().to_owned();
    let again = std::fs::read(folder.path().join("target").join(host).join("recrate-builder")).unwrap();
    let before = std::fs::read(static_program("recrate-builder")).unwrap();
    assert!(before == again, "not the same; was it built by `scripts/cargo build-builder --locked`, which setup runs?");
}
