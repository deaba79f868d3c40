//! Tampering is caught, each kind with its own verdict: with the published crate, and with the repository.

mod common;

use common::place::Place;
use common::workshop::{Bare, Cargo, Entry, Files, Item, Release, edit, entry, files, name_commit, pack, unpack};

/// A registry, a repository and an honest crate `bait 1.0.0` in a folder of its own.
struct Trap {
    place: Place,
    repository: Bare,
}

const RELEASE: Release<'_> =
    Release { name: "bait", version: "1.0.0", published: "2025-03-01T12:00:00Z", requires: &[] };

const MANIFEST: &str = "[package]\nname = \"bait\"\nversion = \"1.0.0\"\nedition = \"2018\"\nlicense = \"MIT\"\n\
    description = \"An honest crate\"\nrepository = \"https://git.example/recrate/bait\"\n";

fn honest_files() -> Files {
    files([
        ("Cargo.toml", MANIFEST),
        ("src/lib.rs", "//! Honest.\npub fn one() {}\npub fn two() {}\n"),
        ("sub/notes.txt", "notes\n"),
        (".gitignore", "/target\n"),
    ])
}

impl Trap {
    fn new() -> Self {
        let place = Place::new();
        let repository = place.repository("bait");
        Self { place, repository }
    }

    /// Commits files and packages them by hand.
    fn package(&self, tree: &Files) -> Vec<u8> {
        self.repository.commit(tree, "bait 1.0.0");
        Cargo::find(85).expect("cargo 1.85 is imported").package(
            &self.repository,
            "",
            &self.place.registry.path,
            &Files::new(),
        )
    }

    /// What is said of the crate once it is published with these bytes.
    fn verdict(&self, bytes: &[u8]) -> serde_json::Value {
        self.place.registry.publish(&RELEASE, bytes);
        self.verdict_as_it_is()
    }

    fn verdict_as_it_is(&self) -> serde_json::Value {
        self.place.verify("bait@1.0.0")
    }
}

/// Publishes an honest crate with its entries changed; gives the verdict.
fn tampered(change: impl Fn(&mut Vec<Entry>)) -> serde_json::Value {
    let trap = Trap::new();
    let mut entries = unpack(&trap.package(&honest_files()));
    change(&mut entries);
    trap.verdict(&pack(&entries))
}

fn assert_source_differs(verdict: &serde_json::Value, path: &str, kind: &str) {
    assert_eq!(verdict["verdict"], "source-differs", "{verdict:#}");
    let found = common::differences(verdict).iter().any(|difference| {
        difference["path"] == path && (difference["kind"] == kind || difference["kind"].get(kind).is_some())
    });
    assert!(found, "no {kind} of {path} in {verdict:#}");
}

#[test]
fn an_honest_crate_is_reproduced() {
    let trap = Trap::new();
    assert_eq!(trap.verdict(&trap.package(&honest_files()))["verdict"], "reproduced");
}

#[test]
fn one_changed_line_is_caught() {
    let verdict = tampered(|entries| {
        edit(entries, "src/lib.rs", |text| text.replace("fn two() {}", "fn two() { evil() }"));
    });
    assert_source_differs(&verdict, "src/lib.rs", "lines");
}

#[test]
fn a_change_of_white_space_is_caught() {
    let verdict = tampered(|entries| edit(entries, "src/lib.rs", |text| text.replace("fn two", "fn  two")));
    assert_source_differs(&verdict, "src/lib.rs", "white-space");
}

#[test]
fn an_additional_file_is_caught_whatever_it_is_called() {
    for path in ["build.rs", "sub/Cargo.toml", "sub/Cargo.lock", "sub/Cargo.toml.orig", "sub/.cargo_vcs_info.json"] {
        let verdict = tampered(|entries| {
            let mut added = entry(entries, "src/lib.rs").clone();
            added.path = format!("bait-1.0.0/{path}");
            entries.push(added);
        });
        assert_source_differs(&verdict, path, "only-published");
    }
}

#[test]
fn what_stands_only_in_the_normalised_manifest_is_caught() {
    for added in [
        "[dependencies.evil]\nversion = \"1\"\n",
        "[target.\"cfg(unix)\".dependencies.evil]\nversion = \"1\"\n",
        "[profile.release]\noverflow-checks = false\n",
        "[lints.rust]\nunsafe_code = \"allow\"\n",
        "[features]\ndefault = [\"evil\"]\nevil = []\n",
    ] {
        let verdict = tampered(|entries| edit(entries, "Cargo.toml", |text| format!("{text}\n{added}")));
        assert_source_differs(&verdict, "Cargo.toml", "meaning");
    }
}

#[test]
fn another_original_manifest_is_caught() {
    let verdict = tampered(|entries| {
        edit(entries, "Cargo.toml.orig", |text| format!("{text}\n[dependencies]\nevil = \"1\"\n"));
    });
    assert_source_differs(&verdict, "Cargo.toml.orig", "lines");
}

#[test]
fn a_lock_file_with_another_checksum_or_an_unknown_version_is_caught() {
    for (name, version, checksum) in [("helper", "1.0.0", "0".repeat(64)), ("helper", "9.9.9", "1".repeat(64))] {
        let trap = Trap::new();
        let helper = Release { name: "helper", version: "1.0.0", published: "2025-01-01T00:00:00Z", requires: &[] };
        trap.place.registry.publish(&helper, b"helper");
        let mut tree = honest_files();
        let manifest = format!("{MANIFEST}\n[dependencies]\nhelper = \"1\"\n");
        tree.insert("Cargo.toml".to_owned(), Item::File(manifest.into_bytes()));
        let mut entries = unpack(&trap.package(&tree));
        edit(&mut entries, "Cargo.lock", |text| {
            let before = trap.place.registry.checksum("helper", "1.0.0");
            assert!(text.contains(&before));
            text.replace(&before, &checksum).replace(
                "name = \"helper\"\nversion = \"1.0.0\"",
                &format!("name = \"{name}\"\nversion = \"{version}\""),
            )
        });
        assert_source_differs(&trap.verdict(&pack(&entries)), "Cargo.lock", "meaning");
    }
}

#[test]
fn a_changed_lock_file_is_caught_where_the_commit_has_one() {
    let trap = Trap::new();
    for version in ["1.0.0", "1.0.1"] {
        let helper = Release { name: "helper", version, published: "2025-01-01T00:00:00Z", requires: &[] };
        trap.place.registry.publish(&helper, version.as_bytes());
    }
    let mut tree = honest_files();
    let manifest = format!("{MANIFEST}\n[dependencies]\nhelper = \"1\"\n");
    tree.insert("Cargo.toml".to_owned(), Item::File(manifest.into_bytes()));
    let lock = trap.place.registry.lock_file(&[("helper", "1.0.1")]).replace(
        "\n[[package]]",
        "\n[[package]]\nname = \"bait\"\nversion = \"1.0.0\"\ndependencies = [\n \"helper\",\n]\n\n[[package]]",
    );
    tree.insert("Cargo.lock".to_owned(), Item::File(lock.into_bytes()));
    let mut entries = unpack(&trap.package(&tree));
    let (old, new) = (trap.place.registry.checksum("helper", "1.0.0"), trap.place.registry.checksum("helper", "1.0.1"));
    edit(&mut entries, "Cargo.lock", |text| {
        assert!(text.contains(&new), "{text}");
        text.replace(&new, &old).replace("version = \"1.0.1\"", "version = \"1.0.0\"")
    });
    assert_source_differs(&trap.verdict(&pack(&entries)), "Cargo.lock", "meaning");
}

#[test]
fn a_flipped_mode_is_caught() {
    let verdict = tampered(|entries| entry(entries, "src/lib.rs").mode = 0o755);
    assert_source_differs(&verdict, "src/lib.rs", "mode");
}

#[test]
fn an_entry_twice_or_twice_but_for_case_is_caught() {
    for (path, kind) in [("src/lib.rs", "repeated"), ("src/LIB.rs", "only-published")] {
        let verdict = tampered(|entries| {
            let mut again = entry(entries, "src/lib.rs").clone();
            again.path = format!("bait-1.0.0/{path}");
            again.body = b"pub fn evil() {}\n".to_vec();
            entries.push(again);
        });
        assert_source_differs(&verdict, path, kind);
    }
}

#[test]
fn a_false_commit_id_is_caught() {
    // A commit that the repository does not have.
    let verdict = tampered(|entries| name_commit(entries, &"0123456789".repeat(4)));
    assert_eq!(verdict["verdict"], "unverifiable", "{verdict:#}");
    // A commit that it has, but that is another one.
    let trap = Trap::new();
    let other = trap.repository.commit(&files([("Cargo.toml", MANIFEST), ("src/lib.rs", "//! Older.\n")]), "before");
    let mut entries = unpack(&trap.package(&honest_files()));
    name_commit(&mut entries, &other);
    assert_source_differs(&trap.verdict(&pack(&entries)), "src/lib.rs", "lines");
}

#[test]
fn bytes_that_are_not_what_the_index_says_are_caught() {
    let trap = Trap::new();
    let honest = trap.package(&honest_files());
    trap.place.registry.publish(&RELEASE, &honest);
    std::fs::write(trap.place.registry.file("bait", "1.0.0"), [&honest[..], b"x"].concat()).unwrap();
    assert_eq!(trap.verdict_as_it_is()["verdict"], "checksum-mismatch");
}

#[test]
fn archives_that_lead_out_or_hold_links_are_refused() {
    let path = tampered(|entries| {
        let mut out = entry(entries, "src/lib.rs").clone();
        out.path = "bait-1.0.0/../../.bashrc".to_owned();
        entries.push(out);
    });
    assert_eq!(path["verdict"], "malformed-archive", "{path:#}");
    let link = tampered(|entries| {
        let mut link = entry(entries, "sub/notes.txt").clone();
        link.kind = tar::EntryType::Symlink;
        link.body.clear();
        entries.push(link);
    });
    assert_eq!(link["verdict"], "malformed-archive", "{link:#}");
}

/// A repository with something in it that would fool a careless rebuild; the published crate is what the attacker
/// wants to see confirmed.
fn fooled(add: impl Fn(&mut Files), evil: impl Fn(&mut Vec<Entry>)) -> serde_json::Value {
    let trap = Trap::new();
    let mut entries = unpack(&trap.package(&honest_files()));
    evil(&mut entries);
    let evil = pack(&entries);
    let mut tree = honest_files();
    // With the evil crate itself in the tree, where cargo would leave its own.
    tree.insert("target/package/bait-1.0.0.crate".to_owned(), Item::File(evil.clone()));
    add(&mut tree);
    let commit = trap.repository.commit(&tree, "bait 1.0.0 again");
    let mut entries = unpack(&evil);
    name_commit(&mut entries, &commit);
    trap.verdict(&pack(&entries))
}

fn evil_line(entries: &mut [Entry]) {
    edit(entries, "src/lib.rs", |text| format!("{text}pub fn evil() {{}}\n"));
}

#[test]
fn a_crate_committed_where_cargo_leaves_its_own_is_not_taken_for_the_rebuild() {
    assert_source_differs(&fooled(|_| {}, |entries| evil_line(entries)), "src/lib.rs", "lines");
}

#[test]
fn configuration_in_the_repository_does_not_steer_the_rebuild() {
    let verdict = fooled(
        |tree| {
            let config = "[build]\nrustc-wrapper = \"./evil.sh\"\nrustc = \"./evil.sh\"\ntarget-dir = \"elsewhere\"\n\
                [alias]\npackage = \"run\"\n[source.crates-io]\nreplace-with = \"evil\"\n[source.evil]\n\
                directory = \"evil\"\n";
            tree.extend(files([(".cargo/config.toml", config), ("rust-toolchain", "nightly-2020-01-01\n")]));
            tree.insert("evil.sh".to_owned(), Item::Program(b"#!/bin/sh\necho evil >> src/lib.rs\n".to_vec()));
        },
        |entries| evil_line(entries),
    );
    assert_source_differs(&verdict, "src/lib.rs", "lines");
}

#[test]
fn filters_and_hooks_in_the_repository_do_not_run() {
    let verdict = fooled(
        |tree| {
            tree.extend(files([(".gitattributes", "* filter=evil ident text eol=crlf\n")]));
            tree.insert("hooks/post-checkout".to_owned(), Item::Program(b"#!/bin/sh\nexit 1\n".to_vec()));
        },
        |entries| evil_line(entries),
    );
    assert_source_differs(&verdict, "src/lib.rs", "lines");
}

#[test]
fn a_patch_in_the_repository_does_not_reach_the_published_manifest() {
    let verdict = fooled(
        |tree| {
            let manifest = format!("{MANIFEST}\n[patch.crates-io]\nhelper = {{ path = \"helper\" }}\n");
            tree.insert("Cargo.toml".to_owned(), Item::File(manifest.into_bytes()));
            tree.extend(files([
                ("helper/Cargo.toml", "[package]\nname = \"helper\"\nversion = \"1.0.0\"\n"),
                ("helper/src/lib.rs", ""),
            ]));
        },
        |entries| evil_line(entries),
    );
    assert_source_differs(&verdict, "src/lib.rs", "lines");
}

#[test]
fn a_link_that_leads_out_of_the_tree_is_not_followed() {
    let verdict =
        fooled(|tree| drop(tree.insert("src/link.rs".to_owned(), Item::Link("/etc/passwd".to_owned()))), |_| {});
    assert_eq!(verdict["verdict"], "packaging-failed", "{verdict:#}");
    assert!(common::reason(&verdict).contains("leads out"), "{verdict:#}");
}

#[test]
fn what_the_builder_makes_is_not_packed_through_a_link() {
    // Some are there when links are looked at, some are made later, some lie in a `.git`.
    for target in
        ["../../cargo-home/config.toml", "../../rustc", "../../target/x", "../.git/HEAD", "../sub/.GIT/config"]
    {
        let verdict = fooled(|tree| drop(tree.insert("src/link.rs".to_owned(), Item::Link(target.to_owned()))), |_| {});
        assert_eq!(verdict["verdict"], "packaging-failed", "{target}: {verdict:#}");
        assert!(common::reason(&verdict).contains(&format!("leads out of it, to {target}")), "{verdict:#}");
    }
}

#[test]
fn a_plan_does_not_have_manifests_written_through_links() {
    let place = Place::new();
    let repository = place.repository("bait");
    let member = "[package]\nname = \"other\"\nversion = \"0.1.0\"\n[dependencies]\nhelper = \"1\"\n";
    let mut tree = files([
        ("Cargo.toml", "[workspace]\nmembers = [\"own\", \"other\"]\n"),
        ("shared.toml", member),
        ("own/Cargo.toml", MANIFEST),
        ("own/src/lib.rs", ""),
        ("other/src/lib.rs", ""),
    ]);
    tree.insert("other/Cargo.toml".to_owned(), Item::Link("../shared.toml".to_owned()));
    tree.insert("own/src/rules.toml".to_owned(), Item::Link("../../shared.toml".to_owned()));
    repository.commit(&tree, "bait 1.0.0");
    let cargo = Cargo::find(85).expect("cargo 1.85 is imported");
    place.registry.publish(&RELEASE, &cargo.package(&repository, "own", &place.registry.path, &Files::new()));
    let plan = place.folder.path().join("plan.json");
    let mut planned = common::plan_json(place.folder.path(), &["bait@1.0.0"], &plan);
    assert_eq!(common::replay_json(place.folder.path(), &plan, &[])["verdict"], "reproduced");
    let recipe = &mut planned["packages"]["bait-1_0_0"]["build"]["rebuild"]["recipe"];
    recipe["prune"] = serde_json::json!({ "other": "dependencies" });
    std::fs::write(&plan, planned.to_string()).unwrap();
    let said = common::replay_json(place.folder.path(), &plan, &[]);
    assert_eq!(said["verdict"], "error", "{said:#}");
    assert!(common::reason(&said).contains("`prune` is not allowed"), "{said:#}");
}

#[test]
fn a_crate_that_was_swapped_after_it_was_verified_is_not_what_it_was() {
    let trap = Trap::new();
    let honest = trap.package(&honest_files());
    assert_eq!(trap.verdict(&honest)["verdict"], "reproduced");
    // The registry's folder has other bytes under the same checksum.
    let mut entries = unpack(&honest);
    entry(&mut entries, "src/lib.rs").body.extend_from_slice(b"pub fn backdoor() {}\n");
    std::fs::write(trap.place.registry.file("bait", "1.0.0"), pack(&entries)).unwrap();
    assert_eq!(trap.verdict_as_it_is()["verdict"], "checksum-mismatch");
}
