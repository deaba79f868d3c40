//! Cargo.lock: crates whose publishers saw another index than the one of the moment of publication. Each is packaged by a
//! cargo without recrate, against a registry as it was on the day.

mod common;

use common::place::Place;
use common::workshop::{Cargo, Item, LocalRegistry, Release, files};
use serde_json::Value;

/// No helper is ever fetched: packaging looks at the index only.
const CHECKSUM: &str = "0000000000000000000000000000000000000000000000000000000000000000";

const OWN: &str = "2025-03-01T12:00:00Z";

fn helper(version: &'static str, published: &'static str) -> Release<'static> {
    Release { name: "helper", version, published, requires: &[] }
}

/// Publishes `own`, which needs a `helper`, as packaged on a day when the registry had `then`; gives what is said of it
/// when the registry has `now`, too.
fn said(then: &[Release<'_>], now: &[Release<'_>]) -> Value {
    said_after("1", then, |registry| now.iter().for_each(|one| registry.list(one, CHECKSUM)))
}

/// The same for a requirement, with anything done to the registry.
fn said_after(requirement: &str, then: &[Release<'_>], change: impl Fn(&LocalRegistry)) -> Value {
    said_between(requirement, |registry| then.iter().for_each(|one| registry.list(one, CHECKSUM)), change)
}

/// The same, with anything done to the registry before and after the crate is packaged.
fn said_between(requirement: &str, before: impl Fn(&LocalRegistry), change: impl Fn(&LocalRegistry)) -> Value {
    let place = Place::new();
    let package = "[package]\nname = \"own\"\nversion = \"1.0.0\"\nedition = \"2024\"\nrust-version = \"1.85\"\nlicense = \"MIT\"\n\
        description = \"In need of help\"\nrepository = \"https://git.example/recrate/own\"\n\
        [dependencies]\n";
    let manifest = format!("{package}helper = \"{requirement}\"\n");
    let repository = place.repository("own");
    repository.commit(&files([("Cargo.toml", &manifest), ("src/lib.rs", "//! Own.\n")]), "own 1.0.0");
    before(&place.registry);
    let cargo = Cargo::find(85).expect("cargo 1.85 is imported");
    let bytes = cargo.package_as(&repository, "", &place.registry.path, |_| {});
    change(&place.registry);
    let own = Release { name: "own", version: "1.0.0", published: OWN, requires: &[("helper", "^1")] };
    place.registry.publish(&own, &bytes);
    place.verify("own@1.0.0")
}

fn assert_reproduced(said: &Value, conditions: &[&str]) {
    assert_eq!(said["verdict"], "reproduced", "{said:#}");
    assert_eq!(common::conditions(said), conditions, "{said:#}");
}

#[test]
fn what_came_out_before_or_long_after_needs_no_condition() {
    let said = said(&[helper("1.0.0", "2025-03-01T11:59:59Z")], &[helper("1.1.0", OWN)]);
    assert_reproduced(&said, &[]);
}

#[test]
fn siblings_that_the_registry_noted_a_little_later() {
    for time in [OWN, "2025-03-01T12:00:59Z"] {
        let said = said(&[helper("1.0.0", "2024-01-01T00:00:00Z"), helper("1.1.0", time)], &[]);
        assert_reproduced(&said, &["index-with-siblings"]);
    }
}

#[test]
fn what_came_out_later_than_that_can_not_have_been_locked() {
    let said = said(&[helper("1.1.0", "2025-03-01T12:01:01Z")], &[helper("1.0.0", "2024-01-01T00:00:00Z")]);
    assert_ne!(said["verdict"], "reproduced", "{said:#}");
    let details = common::differences(&said)[0]["details"].to_string();
    assert!(details.contains("helper@1.1.0 was published after this crate"), "{said:#}");
}

#[test]
fn where_cargo_refuses_for_it_that_is_said_beside() {
    let (early, late) = (helper("1.0.0", "2024-01-01T00:00:00Z"), helper("1.1.0", "2025-03-03T00:00:00Z"));
    let said = said_after("1.1", &[late], |registry| registry.list(&early, CHECKSUM));
    assert_eq!(said["verdict"], "packaging-failed", "{said:#}");
    let fault = "\nits Cargo.lock: helper@1.1.0 was published after this crate";
    assert!(common::reason(&said).ends_with(fault), "{said:#}");
}

#[test]
fn what_was_yanked_since() {
    let old = helper("1.0.0", "2024-01-01T00:00:00Z");
    let said =
        said_after("1", &[old, helper("1.1.0", "2025-02-01T00:00:00Z")], |registry| registry.yank("helper", "1.1.0"));
    assert_reproduced(&said, &["yanked-restored"]);
}

#[test]
fn an_index_that_lagged_behind() {
    let said = said(&[helper("1.0.0", "2024-01-01T00:00:00Z")], &[helper("1.1.0", "2025-03-01T11:55:00Z")]);
    assert_reproduced(&said, &["index-minutes-before"]);
}

#[test]
fn a_lock_file_that_lay_there() {
    let said = said(&[helper("1.0.0", "2024-01-01T00:00:00Z")], &[helper("1.1.0", "2025-02-01T00:00:00Z")]);
    assert_reproduced(&said, &["index-at-newest-locked"]);
}

/// What is added to it for other members goes with the versions that it has, and may be yanked by now.
#[test]
fn a_lock_file_that_lay_there_is_completed_around_what_it_has() {
    let place = Place::new();
    let old = "2024-01-01T00:00:00Z";
    let needs_old = [("helper", "~1.0")];
    let engine = Release { name: "engine", version: "1.0.0", published: old, requires: &needs_old };
    // Newer than the first `helper 1.1.0`, which the lock file does not have.
    let tool = Release { name: "tool", version: "1.0.0", published: "2024-06-01T00:00:00Z", requires: &[] };
    let package = "[package]\nname = \"own\"\nversion = \"1.0.0\"\nedition = \"2021\"\nrust-version = \"1.85\"\nlicense = \"MIT\"\n\
        description = \"Beside another\"\nrepository = \"https://git.example/recrate/own\"\n\
        [dependencies]\nhelper = \"1\"\ntool = \"1\"\n";
    let beside = "[package]\nname = \"beside\"\nversion = \"1.0.0\"\n[dependencies]\nengine = \"1\"\n";
    let repository = place.repository("own");
    let tree = [
        ("Cargo.toml", "[workspace]\nmembers = [\"own\", \"beside\"]\nresolver = \"2\"\n"),
        ("own/Cargo.toml", package),
        ("own/src/lib.rs", "//! Own.\n"),
        ("beside/Cargo.toml", beside),
        ("beside/src/lib.rs", "//! Beside.\n"),
    ];
    repository.commit(&files(tree), "own 1.0.0");
    for one in [&helper("1.0.0", old), &engine, &tool] {
        place.registry.list(one, CHECKSUM);
    }
    let cargo = Cargo::find(85).expect("cargo 1.85 is imported");
    let bytes = cargo.package_as(&repository, "own", &place.registry.path, |_| {});
    let since = "2024-03-01T00:00:00Z";
    let needs_new = [("helper", "^1.1")];
    place.registry.list(&helper("1.1.0", since), CHECKSUM);
    place.registry.list(&Release { version: "1.1.0", published: since, requires: &needs_new, ..engine }, CHECKSUM);
    place.registry.yank("engine", "1.0.0");
    let requires = [("helper", "^1"), ("tool", "^1")];
    place.registry.publish(&Release { name: "own", version: "1.0.0", published: OWN, requires: &requires }, &bytes);
    assert_reproduced(&place.verify("own@1.0.0"), &["published-lockfile"]);
}

/// Two versions of the helper. The older one needs something more; the newer one needs a younger compiler than the crate is for, so
/// that cargo takes the older one: where nobody looks at compilers, that it needs something more is not known beforehand.
fn list_helpers(registry: &LocalRegistry) {
    let time = "2024-01-01T00:00:00Z";
    registry.list(&Release { requires: &[("hidden", "^1")], ..helper("1.0.0", time) }, CHECKSUM);
    registry.list(&helper("1.1.0", time), CHECKSUM);
    let file = registry.path.join("index/he/lp/helper");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, text.replace("\"vers\":\"1.1.0\"", "\"rust_version\":\"1.99\",\"vers\":\"1.1.0\"")).unwrap();
}

fn list_hidden(registry: &LocalRegistry) {
    let hidden = Release { name: "hidden", version: "1.0.0", published: "2024-01-01T00:00:00Z", requires: &[] };
    registry.list(&hidden, CHECKSUM);
}

#[test]
fn what_cargo_takes_for_the_sake_of_a_compiler_is_what_the_index_gives() {
    let all = |registry: &LocalRegistry| {
        list_helpers(registry);
        list_hidden(registry);
    };
    let said = said_between("1", all, |_| {});
    assert_reproduced(&said, &[]);
}

#[test]
fn what_cargo_takes_for_want_of_a_crate_is_not_what_the_index_gives() {
    // The publisher's cargo saw no `hidden`, and took the newer helper without a word.
    let said = said_between("1", list_helpers, list_hidden);
    assert_ne!(common::conditions(&said), [""; 0], "{said:#}");
    // The first slice lacked it, too: cargo stopped there, and was given it.
    assert_eq!(said["attempts"][0]["verdict"], "packaging-failed", "{said:#}");
}

/// Publishes `own`, beside a member whose manifest is a link and is not read as one, packaged when the registry had the helper's
/// helper's newer version, or not.
fn beside_a_member_behind_a_link(had_newer: bool) -> Value {
    let place = Place::new();
    let own = "[package]\nname = \"own\"\nversion = \"1.0.0\"\nedition = \"2018\"\nlicense = \"MIT\"\n\
        description = \"Beside another\"\nrepository = \"https://git.example/recrate/own\"\n[dependencies]\nhelper = \"1\"\n";
    let other = |name: &str, requirement: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.0.0\"\n[dependencies]\nchooser = \"{requirement}\"\n")
    };
    let mut tree = files([
        ("Cargo.toml", "[workspace]\nmembers = [\"own\", \"member\"]\nexclude = [\"apart\"]\n"),
        // Where there is none, cargo resolves for the package alone.
        ("Cargo.lock", "version = 3\n"),
        ("own/Cargo.toml", own),
        ("own/src/lib.rs", "//! Own.\n"),
        ("member/manifest", &other("member", "1")),
        ("member/src/lib.rs", ""),
        // Whoever reads this believes that only an old one is required.
        ("apart/Cargo.toml", &other("apart", "=1.0.0")),
    ]);
    tree.insert("member/Cargo.toml".to_owned(), Item::Link("manifest".to_owned()));
    let repository = place.repository("own");
    repository.commit(&tree, "own 1.0.0");
    let time = "2024-01-01T00:00:00Z";
    let chooser = |version: &'static str, requires| Release { name: "chooser", version, published: time, requires };
    let newer = || place.registry.list(&chooser("1.1.0", &[("helper", "<1.2")]), CHECKSUM);
    ["1.0.0", "1.1.0", "1.2.0"].iter().for_each(|version| place.registry.list(&helper(version, time), CHECKSUM));
    place.registry.list(&chooser("1.0.0", &[("helper", "^1")]), CHECKSUM);
    if had_newer {
        newer();
    }
    let cargo = Cargo::find(85).expect("cargo 1.85 is imported");
    let bytes = cargo.package_as(&repository, "own", &place.registry.path, |_| {});
    newer();
    let release = Release { name: "own", version: "1.0.0", published: OWN, requires: &[("helper", "^1")] };
    place.registry.publish(&release, &bytes);
    place.verify("own@1.0.0")
}

#[test]
fn versions_that_a_slice_leaves_out_are_not_passed_over() {
    let honest = beside_a_member_behind_a_link(true);
    assert_reproduced(&honest, &[]);
    // The first slice has a stand-in for the newer chooser: cargo stopped there, and was given it.
    assert_eq!(honest["attempts"][0]["verdict"], "packaging-failed", "{honest:#}");
    let said = beside_a_member_behind_a_link(false);
    assert!(said["verdict"] != "reproduced" || !common::conditions(&said).is_empty(), "{said:#}");
}
