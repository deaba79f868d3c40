//! What runs found, one after another: kept in a database, and shown with what made it better or worse.

mod common;

use std::path::Path;

use common::place::{Place, orphan_of};
use common::recrate;
use common::workshop::{Bare, Cargo, Files, Release, files};

fn tree(version: &str) -> Files {
    let manifest = format!(
        "[package]\nname = \"lib\"\nversion = \"{version}\"\nedition = \"2021\"\nlicense = \"MIT\"\n\
         description = \"Has a history\"\nrepository = \"https://git.example/recrate/lib\"\n"
    );
    files([("Cargo.toml", &manifest), ("src/lib.rs", "//! Own.\n")])
}

fn run(place: &Place, database: &Path, arguments: &[&str]) -> (i32, String) {
    let mut program = recrate();
    program.current_dir(place.folder.path()).env("RECRATE_RESULTS", database).args(arguments);
    let done = program.output().unwrap();
    (done.status.code().unwrap(), String::from_utf8([done.stdout, done.stderr].concat()).unwrap())
}

/// Publishes lib 1.0.0 from a repository of its own.
fn publish(place: &Place) -> Bare {
    let repository = place.repository("lib");
    repository.commit(&tree("1.0.0"), "1.0.0");
    let bytes = Cargo::find(85).unwrap().package(&repository, "", &place.registry.path, &Files::new());
    let release = Release { name: "lib", version: "1.0.0", published: "2025-03-01T12:00:00Z", requires: &[] };
    place.registry.publish(&release, &bytes);
    repository
}

#[test]
fn what_changed_between_runs_is_told_with_its_cause() {
    let place = Place::new();
    let repository = publish(&place);
    let database = place.folder.path().join("results.sqlite");
    let go = |arguments: &[&str]| run(&place, &database, arguments);
    assert_eq!(go(&["runs"]), (0, "no runs yet\n".to_owned()));
    assert_eq!(go(&["history", "lib"]).0, 4);
    assert_eq!(go(&["verify", "lib@1.0.0", "--quiet"]).0, 0);
    // The same once more is no turn.
    assert_eq!(go(&["verify", "lib@1.0.0", "--quiet"]).0, 0);
    // The branch is rewritten.
    let again = repository.commit(&tree("1.0.0"), "again");
    let other = repository.object("commit", &orphan_of(&repository, &again));
    std::fs::write(repository.path.join("refs/heads/main"), format!("{other}\n")).unwrap();
    let (code, said) = go(&["verify", "lib@1.0.0", "--quiet", "--accept", "strict"]);
    assert_eq!(code, 1, "{said}");
    let (_, said) = go(&["runs"]);
    let outcomes: Vec<&str> = said.lines().map(|line| line.split_whitespace().nth(3).unwrap()).collect();
    assert_eq!(outcomes, ["accepted", "accepted", "rejected"], "{said}");
    let (code, said) = go(&["runs", "diff", "1", "2"]);
    assert_eq!((code, said.as_str()), (0, "run 1 to run 2: 1 the same\n"));
    let (code, said) = go(&["runs", "diff", "2", "3"]);
    assert_eq!(code, 0, "squashed is as good a verdict: {said}");
    assert!(
        said.contains(
            "lib@1.0.0: reproduced, accepted -> reproduced, rejected  (the repository changed, the policy or a waiver)"
        ),
        "{said}"
    );
    let (_, said) = go(&["history", "lib"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "lib@1.0.0 (3 runs)"), "{said}");
    assert!(
        lines[1].contains("run 1    reproduced, accepted") && lines[2].contains("run 3    reproduced, rejected"),
        "{said}"
    );
    // The same on pages.
    let read = |file: &str| std::fs::read_to_string(place.folder.path().join(file)).unwrap();
    assert!(read("recrate.out/report.html").contains("<strong>1 of 1</strong> crate is what its commit gives"));
    let (code, said) = go(&["site", "--project-places", "public"]);
    assert_eq!((code, said.as_str()), (0, "public/index.html: 1 crate, 10 of 10 files are new\n"));
    assert!(read("public/lib/1.0.0.html").contains("(the repository changed, the policy or a waiver)"));
    let (_, said) = go(&["site", "--project-places", "public"]);
    assert_eq!(said, "public/index.html: 1 crate, 0 of 10 files are new\n");
    // Where the registry is was the project's own word: that counts only where it is asked for.
    let (_, said) = go(&["site", "public"]);
    assert!(said.contains("runs by a project's own configuration"), "{said}");
    assert!(!place.folder.path().join("public/lib/1.0.0.json").exists(), "what is no longer part of it is removed");
    std::fs::create_dir(place.folder.path().join("mine")).unwrap();
    std::fs::write(place.folder.path().join("mine/index.html"), "mine").unwrap();
    let (code, said) = go(&["site", "--project-places", "mine"]);
    assert_eq!(
        (code, said.contains("has files that are no site of recrate's"), read("mine/index.html").as_str()),
        (2, true, "mine"),
        "{said}"
    );
    let (code, said) = go(&["letter", "lib@1.0.0"]);
    assert_eq!((code, said.contains("nothing to write about")), (4, true), "{said}");
    let (code, said) = go(&["letter", "lib@2.0.0"]);
    assert_eq!((code, said.contains("run `recrate verify lib@2.0.0` first")), (2, true), "{said}");
    let (code, said) = go(&["runs", "diff", "1", "9"]);
    assert_eq!((code, said.contains("there is no run 9")), (2, true), "{said}");
}

#[test]
fn a_database_that_can_not_be_used_fails_no_run() {
    let place = Place::new();
    publish(&place);
    let database = place.folder.path().join("results.sqlite");
    std::fs::write(&database, "no database, but long enough to be looked at as one: ".repeat(50)).unwrap();
    let (code, said) = run(&place, &database, &["verify", "lib@1.0.0", "--quiet"]);
    assert_eq!((code, said.contains("note: this run is not in the history")), (0, true), "{said}");
    let (code, said) = run(&place, &database, &["runs"]);
    assert_eq!((code, said.contains("results.sqlite")), (70, true), "{said}");
}

#[test]
fn a_crate_that_gets_worse_is_in_the_feed_with_its_cause_and_its_maintainer_can_be_written_to() {
    let place = Place::new();
    let repository = publish(&place);
    let database = place.folder.path().join("results.sqlite");
    let go = |arguments: &[&str]| run(&place, &database, arguments);
    assert_eq!(go(&["verify", "lib@1.0.0", "--quiet"]).0, 0);
    // The branch is deleted, and another one has another history.
    let other = repository.object("commit", &orphan_of(&repository, &repository.commit(&tree("2.0.0"), "2.0.0")));
    std::fs::write(repository.path.join("refs/heads/main"), format!("{other}\n")).unwrap();
    let (code, said) = go(&["verify", "lib@1.0.0", "--quiet"]);
    assert_eq!(code, 1, "{said}");
    assert_eq!(go(&["site", "--project-places", "public"]).0, 0);
    let read = |file: &str| std::fs::read_to_string(place.folder.path().join(file)).unwrap();
    let feed = read("public/feed.atom");
    assert!(feed.contains("<title>lib 1.0.0: unreachable commit, reproduced before</title>"), "{feed}");
    assert!(feed.contains("Why: the repository changed."), "{feed}");
    assert!(read("public/lib/1.0.0.json").contains("\"sign\": \"unverifiable\""));
    let (code, said) = go(&["letter", "lib@1.0.0"]);
    assert_eq!((code, said.contains("push the commit, and a tag on it, before publishing")), (0, true), "{said}");
    // Gone altogether: nothing is rebuilt any more, and that is not said to be the crate's or the cargos' doing.
    std::fs::remove_dir_all(&repository.path).unwrap();
    assert_eq!(go(&["verify", "lib@1.0.0", "--quiet"]).0, 3);
    let (_, said) = go(&["runs", "diff", "1", "3"]);
    let expected = "lib@1.0.0: reproduced, accepted -> unverifiable, undetermined  (the repository changed)";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn a_projects_own_word_for_where_the_registry_is_makes_no_sign() {
    let place = Place::new();
    publish(&place);
    let database = place.folder.path().join("results.sqlite");
    // cargo's home is kept with the project, as CI jobs do for its cache.
    let mut program = recrate();
    program.current_dir(place.folder.path()).env("RECRATE_RESULTS", &database);
    program.env("CARGO_HOME", place.folder.path().join(".cargo")).args(["verify", "lib@1.0.0", "--quiet"]);
    assert!(program.output().unwrap().status.success());
    let (code, said) = run(&place, &database, &["site", "public"]);
    assert_eq!((code, said.contains("public/index.html: 0 crates")), (0, true), "{said}");
    // A file of the site's name that is somebody else's is left alone, and so is what a changed list of files names.
    let folder = place.folder.path().join("public");
    std::fs::write(folder.join("CNAME"), "mine").unwrap();
    let about = std::fs::read_to_string(folder.join("site.json")).unwrap();
    std::fs::write(folder.join("site.json"), about.replace("\"_headers\"", "\"CNAME\"")).unwrap();
    assert_eq!(run(&place, &database, &["site", "public"]).0, 0);
    assert_eq!(std::fs::read_to_string(folder.join("CNAME")).unwrap(), "mine");
    std::fs::create_dir(folder.join("lib")).unwrap();
    std::fs::write(folder.join("lib/1.0.0.html"), "mine").unwrap();
    let (code, said) = run(&place, &database, &["site", "--project-places", "public"]);
    assert_eq!((code, said.contains("is no file of the site")), (2, true), "{said}");
}
