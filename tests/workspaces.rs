//! What cargo needs besides the package's own files: submodules, what members take from git, members that are in the
//! way. Crates are packaged by a cargo without recrate, from checkouts that git itself made.

mod common;

use std::path::Path;
use std::process::Command;

use common::place::Place;
use common::workshop::{Cargo, Files, Item, Release, files};
use serde_json::{Value, json};

const RELEASE: Release<'_> =
    Release { name: "own", version: "1.0.0", published: "2025-03-01T12:00:00Z", requires: &[] };

const MANIFEST: &str = "[package]\nname = \"own\"\nversion = \"1.0.0\"\nedition = \"2021\"\nlicense = \"MIT\"\n\
     description = \"Among others\"\nrepository = \"https://git.example/recrate/own\"\n";

/// Publishes `own` from a checkout that was changed, and has it verified.
fn verified(place: &Place, tree: &Files, folder: &str, checkout: impl Fn(&Path)) -> Value {
    let repository = place.repository("own");
    repository.commit(tree, "own 1.0.0");
    let cargo = Cargo::find(85).expect("cargo 1.85 is imported");
    place.registry.publish(&RELEASE, &cargo.package_as(&repository, folder, &place.registry.path, checkout));
    place.verify("own@1.0.0")
}

fn assert_reproduced(said: &Value, conditions: &[&str]) {
    assert_eq!(said["verdict"], "reproduced", "{said:#}");
    assert_eq!(common::conditions(said), conditions, "{said:#}");
}

fn git(arguments: &[&str], folder: &Path) {
    let done = Command::new("git").args(arguments).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// A package with a submodule that has a submodule.
fn with_submodules(place: &Place) -> Files {
    let inner = place.repository("inner").commit(&files([("inner.h", "int inner;\n"), (".hidden", "x\n")]), "inner");
    let mut vendored = files([
        ("vendored.c", "int vendored;\n"),
        (".gitmodules", "[submodule \"i\"]\n\tpath = deep/inner\n\turl = ../inner.git\n"),
    ]);
    vendored.insert("deep/inner".to_owned(), Item::Submodule(inner));
    let vendored = place.repository("vendored").commit(&vendored, "vendored");
    let mut tree = files([
        ("package/Cargo.toml", MANIFEST),
        ("package/src/lib.rs", "//! Own.\n"),
        (
            ".gitmodules",
            "[submodule \"v\"]\n\tpath = package/vendored\n\turl = ../vendored.git\n\
             [submodule \"no\"]\n\tpath = elsewhere\n\turl = https://git.example/recrate/nowhere\n",
        ),
    ]);
    tree.insert("package/vendored".to_owned(), Item::Submodule(vendored));
    tree.insert("elsewhere".to_owned(), Item::Submodule("4b825dc642cb6eb9a060e54bf8d69288fbee4904".to_owned()));
    tree
}

/// Checks the submodules out as `git submodule update --init --recursive` does, from the repositories beside.
fn submodules(repositories: &Path) -> impl Fn(&Path) {
    let repositories = repositories.to_owned();
    move |tree| {
        for (name, path) in [("vendored", "package/vendored"), ("inner", "package/vendored/deep/inner")] {
            std::fs::remove_dir(tree.join(path)).unwrap();
            git(&["clone", "-q", repositories.join(format!("{name}.git")).to_str().unwrap(), path], tree);
        }
    }
}

#[test]
fn files_of_submodules_may_be_reached_through_links() {
    let place = Place::new();
    let vendored = place.repository("vendored").commit(&files([("c/vendored.c", "int vendored;\n")]), "vendored");
    let mut tree = files([
        ("package/Cargo.toml", MANIFEST),
        ("package/src/lib.rs", "//! Own.\n"),
        (".gitmodules", "[submodule \"v\"]\n\tpath = vendored\n\turl = ../vendored.git\n"),
    ]);
    tree.insert("vendored".to_owned(), Item::Submodule(vendored));
    tree.insert("package/src/c".to_owned(), Item::Link("../../vendored/c".to_owned()));
    let repository = place.folder.path().join("repositories/vendored.git");
    let said = verified(&place, &tree, "package", |tree| {
        std::fs::remove_dir(tree.join("vendored")).unwrap();
        git(&["clone", "-q", repository.to_str().unwrap(), "vendored"], tree);
    });
    assert_reproduced(&said, &["submodules"]);
}

#[test]
fn files_of_submodules_come_from_their_own_commits() {
    let place = Place::new();
    let tree = with_submodules(&place);
    let repositories = place.folder.path().join("repositories");
    let said = verified(&place, &tree, "package", submodules(&repositories));
    assert_reproduced(&said, &["submodules"]);

    // Proven by the gitlinks: another commit in a submodule's place is refused.
    let plan = place.folder.path().join("plan.json");
    let mut tampered = common::plan_json(place.folder.path(), &["own@1.0.0"], &plan);
    let recipe = &mut tampered["packages"]["own-1_0_0"]["build"]["rebuild"]["recipe"];
    assert_eq!(recipe["submodules"].as_object().unwrap().len(), 2, "only those that the crate has files of");
    recipe["submodules"]["package/vendored/deep/inner"] = recipe["submodules"]["package/vendored"].clone();
    std::fs::write(&plan, tampered.to_string()).unwrap();
    let said = common::replay_json(place.folder.path(), &plan, &[]);
    assert_eq!(said["verdict"], "error", "{said:#}");
    assert!(common::reason(&said).contains("has no such submodule at package/vendored/deep/inner"), "{said:#}");

    std::fs::remove_dir_all(repositories.join("inner.git")).unwrap();
    let said = common::verify_json(place.folder.path(), &["own@1.0.0", "--fresh"])["packages"][0].clone();
    assert_eq!(said["verdict"], "unverifiable", "{said:#}");
    let reason = common::reason(&said);
    assert!(reason.starts_with("its submodule package/vendored/deep/inner can't be fetched"), "{reason}");
}

/// A workspace with a member that takes something from git.
fn with_git_dependency(place: &Place) -> Files {
    let tools = files([
        (
            "Cargo.toml",
            "[workspace]\nmembers = [\"tool\", \"other\"]\n[workspace.package]\nversion = \"0.3.0\"\nedition = \"2021\"\n",
        ),
        (
            "tool/Cargo.toml",
            "[package]\nname = \"tool\"\nversion.workspace = true\nedition.workspace = true\n\
             [dependencies]\nother = { path = \"../other\" }\n",
        ),
        ("tool/src/lib.rs", ""),
        ("other/Cargo.toml", "[package]\nname = \"other\"\nversion.workspace = true\n"),
        ("other/src/lib.rs", ""),
        ("fixture/Cargo.toml", "[package]\nname = \"fixture\"\nversion = \"0.0.0\"\n"),
    ]);
    let commit = place.repository("tools").commit(&tools, "tools");
    let source = format!("source = \"git+https://git.example/recrate/tools?branch=main#{commit}\"");
    let lock = format!(
        "version = 4\n\n[[package]]\nname = \"fuzz\"\nversion = \"0.0.0\"\ndependencies = [\n \"own\",\n \"tool\",\n]\n\n\
         [[package]]\nname = \"other\"\nversion = \"0.3.0\"\n{source}\n\n\
         [[package]]\nname = \"own\"\nversion = \"1.0.0\"\n\n\
         [[package]]\nname = \"tool\"\nversion = \"0.3.0\"\n{source}\ndependencies = [\n \"other\",\n]\n"
    );
    files([
        ("Cargo.toml", "[workspace]\nmembers = [\"own\", \"fuzz\"]\n"),
        ("Cargo.lock", &lock),
        ("own/Cargo.toml", MANIFEST),
        ("own/src/lib.rs", "//! Own.\n"),
        (
            "fuzz/Cargo.toml",
            "[package]\nname = \"fuzz\"\nversion = \"0.0.0\"\npublish = false\n[dependencies]\nown = { path = \"../own\" }\n\
             tool = { git = \"https://git.example/recrate/tools\", branch = \"main\" }\n",
        ),
        ("fuzz/src/lib.rs", ""),
    ])
}

/// The publisher's cargo need not load what is not there on the day of the test: the package has nothing to do with it.
fn without_fuzz(tree: &Path) {
    std::fs::write(tree.join("fuzz/Cargo.toml"), "[package]\nname = \"fuzz\"\nversion = \"0.0.0\"\n").unwrap();
}

#[test]
fn what_a_member_takes_from_git_is_provided_from_the_commit_that_the_lock_file_names() {
    let place = Place::new();
    let tree = with_git_dependency(&place);
    assert_reproduced(&verified(&place, &tree, "own", without_fuzz), &[]);

    let plan = place.folder.path().join("plan.json");
    let mut tampered = common::plan_json(place.folder.path(), &["own@1.0.0"], &plan);
    let recipe = &mut tampered["packages"]["own-1_0_0"]["build"]["rebuild"]["recipe"];
    assert_eq!(recipe["gitDependencies"][0]["packages"], json!(["other", "tool"]), "{recipe:#}");
    recipe["gitDependencies"][0]["url"] = "https://git.example/recrate/others".into();
    std::fs::write(&plan, tampered.to_string()).unwrap();
    let said = common::replay_json(place.folder.path(), &plan, &[]);
    let reason = common::reason(&said);
    assert!(reason.contains("no Cargo.lock and no manifest of the package's commit names it"), "{reason}");
}

#[test]
fn where_it_can_not_be_had_the_member_is_left_out_and_the_verdict_says_so() {
    let place = Place::new();
    let tree = with_git_dependency(&place);
    std::fs::remove_dir_all(place.folder.path().join("repositories/tools.git")).unwrap();
    let said = verified(&place, &tree, "own", without_fuzz);
    assert_reproduced(&said, &["workspace-pruned"]);
}

#[test]
fn a_member_that_cargo_can_not_load_is_left_out_and_of_one_that_the_package_needs_as_little_as_can_be() {
    let place = Place::new();
    let lock = "version = 4\n\n[[package]]\nname = \"own\"\nversion = \"1.0.0\"\n";
    let mut tree = files([
        ("Cargo.toml", "[workspace]\nmembers = [\"own\", \"fuzz\"]\n"),
        ("Cargo.lock", lock),
        ("own/Cargo.toml", MANIFEST),
        ("own/src/lib.rs", "//! Own.\n"),
        (
            "fuzz/Cargo.toml",
            "[package]\nname = \"fuzz\"\nversion = \"0.0.0\"\n[dependencies]\nown = { path = \"../own\", version = \"0.9\" }\n",
        ),
        ("fuzz/src/lib.rs", ""),
    ]);
    let said = verified(&place, &tree, "own", without_fuzz);
    assert_reproduced(&said, &["workspace-pruned"]);

    let needed = format!("{MANIFEST}[dev-dependencies]\nfuzz = {{ path = \"../fuzz\" }}\n");
    tree.insert("own/Cargo.toml".to_owned(), Item::File(needed.into_bytes()));
    let said = verified(&place, &tree, "own", without_fuzz);
    assert_reproduced(&said, &["workspace-stripped"]);

    // Of one that the package needs, what that needs for its own tests is spare.
    let tested = "[package]\nname = \"fuzz\"\nversion = \"0.0.0\"\n[dev-dependencies]\nnowhere = \"1\"\n";
    tree.insert("fuzz/Cargo.toml".to_owned(), Item::File(tested.as_bytes().to_vec()));
    let said = verified(&place, &tree, "own", without_fuzz);
    assert_reproduced(&said, &["workspace-pruned"]);
}

/// What a package requires that its publisher had an old lock file for, which git does not have: cargo loads the whole
/// workspace for it, and no index gives it.
const REQUIRED: &str = "[dependencies]\nleaf = \"1\"\ntwig = \"1\"\n";

/// Lists what is required; gives the old lock file.
fn old_lock(place: &Place) -> String {
    for (name, version, published) in [
        ("leaf", "1.0.0", "2023-01-01T00:00:00Z"),
        ("leaf", "1.1.0", "2024-01-01T00:00:00Z"),
        ("twig", "1.0.0", "2024-06-01T00:00:00Z"),
    ] {
        place.registry.list(&Release { name, version, published, requires: &[] }, &"0".repeat(64));
    }
    let locked = place.registry.lock_file(&[("leaf", "1.0.0"), ("twig", "1.0.0")]);
    format!("{locked}\n[[package]]\nname = \"own\"\nversion = \"1.0.0\"\ndependencies = [\n \"leaf\",\n \"twig\",\n]\n")
}

const WITH_LOCK: &str = "published-lockfile";
const STRIPPED: &str = "workspace-stripped";

#[test]
fn of_those_that_the_package_needs_what_they_require_is_left_out_where_nothing_else_helps() {
    let place = Place::new();
    let lock = old_lock(&place);
    let needed =
        format!("{MANIFEST}{REQUIRED}[dev-dependencies]\nhelper = {{ path = \"../helper\", features = [\"more\"] }}\n");
    let helper = "[package]\nname = \"helper\"\nversion = \"0.0.0\"\n[features]\nmore = [\"tool/all\"]\n";
    let unpinned = "[dependencies]\ntool = { git = \"https://git.example/recrate/tools\", branch = \"main\" }\n";
    let tree = files([
        (".gitignore", "Cargo.lock\n"),
        ("Cargo.toml", "[workspace]\nmembers = [\"own\", \"helper\"]\n"),
        ("own/Cargo.toml", &needed),
        ("own/src/lib.rs", "//! Own.\n"),
        ("helper/Cargo.toml", &format!("{helper}{unpinned}")),
        ("helper/src/lib.rs", ""),
    ]);
    let said = verified(&place, &tree, "own", |tree| {
        std::fs::write(tree.join("helper/Cargo.toml"), helper.replace("\"tool/all\"", "")).unwrap();
        std::fs::write(tree.join("Cargo.lock"), &lock).unwrap();
    });
    assert_reproduced(&said, &[WITH_LOCK, STRIPPED]);
}

#[test]
fn what_a_mere_workspace_patches_from_an_unpinned_branch_is_left_out() {
    let place = Place::new();
    let lock = old_lock(&place);
    let root = "[workspace]\nmembers = [\"own\"]\n";
    let patch = "[patch.crates-io]\ntool = { git = \"https://git.example/recrate/tools\", branch = \"main\" }\n";
    let tree = files([
        (".gitignore", "Cargo.lock\n"),
        ("Cargo.toml", &format!("{root}{patch}")),
        ("own/Cargo.toml", &format!("{MANIFEST}{REQUIRED}")),
        ("own/src/lib.rs", "//! Own.\n"),
    ]);
    let said = verified(&place, &tree, "own", |tree| {
        std::fs::write(tree.join("Cargo.toml"), root).unwrap();
        std::fs::write(tree.join("Cargo.lock"), &lock).unwrap();
    });
    assert_reproduced(&said, &[WITH_LOCK, STRIPPED]);
}

#[test]
fn what_is_taken_from_git_by_a_full_rev_needs_no_lock_file() {
    let place = Place::new();
    let tool = "[package]\nname = \"tool\"\nversion = \"0.3.0\"\n[dependencies]\nother = { path = \"other\" }\n";
    let other = "[package]\nname = \"other\"\nversion = \"0.3.0\"\n";
    let tools =
        files([("Cargo.toml", tool), ("src/lib.rs", ""), ("other/Cargo.toml", other), ("other/src/lib.rs", "")]);
    let commit = place.repository("tools").commit(&tools, "tools");
    let from_git = format!("git = \"https://git.example/recrate/tools\"\nrev = \"{commit}\"\n");
    let source = format!("source = \"git+https://git.example/recrate/tools?rev={commit}#{commit}\"");
    let entry = |name: &str| format!("\n[[package]]\nname = \"{name}\"\nversion = \"0.3.0\"\n{source}\n");
    let lock = old_lock(&place) + &entry("tool") + &entry("other");
    let manifest = format!("{MANIFEST}{REQUIRED}[dev-dependencies.tool]\n{from_git}");
    let tree = files([("Cargo.toml", &manifest), ("src/lib.rs", "//! Own.\n"), (".gitignore", "Cargo.lock\n")]);
    // The publisher's cargo has it.
    let said = verified(&place, &tree, "", |tree| {
        let above = tree.parent().unwrap();
        for (name, text) in [("tool", tool.replace("\"other\"", "\"../other\"")), ("other", other.to_owned())] {
            let folder = above.join("at-hand").join(name);
            std::fs::create_dir_all(folder.join("src")).unwrap();
            std::fs::write(folder.join("Cargo.toml"), text).unwrap();
            std::fs::write(folder.join("src/lib.rs"), "").unwrap();
            std::fs::write(folder.join(".cargo-checksum.json"), "{\"files\":{},\"package\":null}").unwrap();
        }
        let config = format!(
            "[source.tools]\n{from_git}replace-with = \"at-hand\"\n[source.at-hand]\ndirectory = \"{}\"\n",
            above.join("at-hand").display()
        );
        std::fs::create_dir(above.join(".cargo")).unwrap();
        std::fs::write(above.join(".cargo/config.toml"), config).unwrap();
        std::fs::write(tree.join("Cargo.lock"), &lock).unwrap();
    });
    assert_reproduced(&said, &[WITH_LOCK]);

    // Only this very commit is put there.
    let plan = place.folder.path().join("plan.json");
    let mut tampered = common::plan_json(place.folder.path(), &["own@1.0.0"], &plan);
    let recipe = &mut tampered["packages"]["own-1_0_0"]["build"]["rebuild"]["recipe"];
    assert_eq!(recipe["gitDependencies"][0]["packages"], json!(["", "other"]), "{recipe:#}");
    recipe["gitDependencies"][0]["commit"] = recipe["commit"].clone();
    std::fs::write(&plan, tampered.to_string()).unwrap();
    let said = common::replay_json(place.folder.path(), &plan, &[]);
    let reason = common::reason(&said);
    assert!(reason.contains("no manifest of the package's commit names it"), "{reason}");

    std::fs::remove_dir_all(place.folder.path().join("repositories/tools.git")).unwrap();
    let said = common::verify_json(place.folder.path(), &["own@1.0.0", "--fresh"])["packages"][0].clone();
    assert_ne!(said["verdict"], "reproduced", "{said:#}");
}
