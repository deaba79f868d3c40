//! LFS: crates packaged from checkouts where git put files in place of the pointers that are committed.

mod common;

use std::path::Path;
use std::process::Command;

use common::place::Place;
use common::server::Server;
use common::store::{build, store_with_programs};
use common::workshop::{Bare, Cargo, Files, Item, Release, edit, files, hex, pack, unpack};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const RELEASE: Release<'_> =
    Release { name: "large", version: "1.0.0", published: "2025-03-01T12:00:00Z", requires: &[] };

const CONTENT: &str = "\u{89}PNG, if you like\n";

fn pointer(content: &str) -> String {
    let oid = hex(&Sha256::digest(content));
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {}\n", content.len())
}

/// Puts an object where `git lfs fetch` leaves it.
fn keep(repository: &Bare, content: &str) -> std::path::PathBuf {
    let oid = hex(&Sha256::digest(content));
    let file = repository.path.join("lfs/objects").join(&oid[..2]).join(&oid[2..4]).join(&oid);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, content).unwrap();
    file
}

fn tree() -> Files {
    files([
        (
            "package/Cargo.toml",
            "[package]\nname = \"large\"\nversion = \"1.0.0\"\nedition = \"2021\"\nlicense = \"MIT\"\n\
             description = \"With a picture\"\nrepository = \"https://git.example/recrate/large\"\n",
        ),
        ("package/src/lib.rs", "//! Large.\n"),
        (".gitattributes", "*.png filter=lfs diff=lfs merge=lfs -text\n"),
        ("package/logo.png", &pointer(CONTENT)),
        ("elsewhere.png", &pointer("nobody has it")),
    ])
}

/// Makes pointers of what git is given, as git-lfs does.
const CLEAN: &str = "sh -c 'file=$(mktemp); cat >$file; if grep -q git-lfs.github.com $file; then cat $file; else \
    printf \"version https://git-lfs.github.com/spec/v1\\noid sha256:%s\\nsize %s\\n\" \
    $(sha256sum <$file | cut -c-64) $(wc -c <$file); fi; rm $file'";

/// Has git check everything out again, with the content of objects in place of pointers, as git-lfs has it do.
fn smudge(repository: &Bare) -> impl Fn(&Path) {
    let objects = repository.path.join("lfs/objects").display().to_string();
    move |tree| {
        let git = |arguments: &[&str]| {
            let done = Command::new("git").arg("-C").arg(tree).args(arguments).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        let script = format!(
            "sh -c 'text=$(cat; echo .); text=${{text%.}}; oid=${{text#*sha256:}}; oid=${{oid%%size*}}; \
             file=$(find {objects} -name $oid); if [ -n \"$oid\" ] && [ -n \"$file\" ]; then cat $file; \
             else printf %s \"$text\"; fi'"
        );
        git(&["config", "filter.lfs.smudge", &script]);
        git(&["config", "filter.lfs.clean", CLEAN]);
        git(&["rm", "-q", "--cached", "-r", "."]);
        git(&["reset", "-q", "--hard"]);
        // cargo believes what the index says of files that were there well before it.
        let before = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
        for entry in std::fs::read_dir(tree.join("package")).unwrap().map(|entry| entry.unwrap().path()) {
            std::fs::File::open(entry).unwrap().set_modified(before).unwrap();
        }
        git(&["update-index", "-q", "--refresh"]);
    }
}

/// Publishes `large` from such a checkout.
fn publish(place: &Place, tree: &Files, checkout: impl Fn(&Path)) -> Vec<u8> {
    let repository = place.repository("large");
    repository.commit(tree, "large 1.0.0");
    let cargo = Cargo::find(85).expect("cargo 1.85 is imported");
    let bytes = cargo.package_as(&repository, "package", &place.registry.path, checkout);
    place.registry.publish(&RELEASE, &bytes);
    bytes
}

fn picture(bytes: &[u8]) -> Vec<u8> {
    unpack(bytes).into_iter().find(|entry| entry.path.ends_with("logo.png")).unwrap().body
}

fn assert_reproduced(said: &Value, conditions: &[&str]) {
    assert_eq!(said["verdict"], "reproduced", "{said:#}");
    assert_eq!(common::conditions(said), conditions, "{said:#}");
}

#[test]
fn objects_stand_where_the_crate_has_them_and_pointers_elsewhere() {
    let place = Place::new();
    let repository = place.repository("large");
    keep(&repository, CONTENT);
    assert_eq!(picture(&publish(&place, &tree(), smudge(&repository))), CONTENT.as_bytes());
    assert_reproduced(&place.verify("large@1.0.0"), &["lfs-objects"]);

    assert_eq!(picture(&publish(&place, &tree(), |_| {})), pointer(CONTENT).as_bytes());
    assert_reproduced(&place.verify("large@1.0.0"), &[]);
}

#[test]
fn objects_are_left_as_they_are_in_a_checkout_of_windows() {
    let place = Place::new();
    let repository = place.repository("large");
    keep(&repository, CONTENT);
    let lfs = smudge(&repository);
    publish(&place, &tree(), |tree| {
        Command::new("git").arg("-C").arg(tree).args(["config", "core.autocrlf", "true"]).status().unwrap();
        lfs(tree);
    });
    let conditions = ["windows-checkout", "lfs-objects"];
    assert_reproduced(&place.verify("large@1.0.0"), &conditions);
}

#[test]
fn another_content_of_the_same_length_is_a_difference() {
    let place = Place::new();
    let repository = place.repository("large");
    keep(&repository, CONTENT);
    let mut entries = unpack(&publish(&place, &tree(), smudge(&repository)));
    edit(&mut entries, "logo.png", |text| text.replace("like", "dare"));
    place.registry.publish(&RELEASE, &pack(&entries));
    let said = place.verify("large@1.0.0");
    assert_eq!(said["verdict"], "source-differs", "{said:#}");
    assert_eq!(said["findings"]["contents"]["differences"][0]["path"], "logo.png", "{said:#}");
}

#[test]
fn an_object_that_is_gone_or_damaged_is_the_crates_verdict() {
    let place = Place::new();
    let repository = place.repository("large");
    let file = keep(&repository, CONTENT);
    publish(&place, &tree(), smudge(&repository));
    std::fs::write(&file, "something else").unwrap();
    for _ in 0..2 {
        let said = place.verify("large@1.0.0");
        assert_eq!(said["verdict"], "unverifiable", "{said:#}");
        let reason = common::reason(&said);
        assert!(reason.starts_with("the LFS object of package/logo.png can't be fetched"), "{reason}");
        std::fs::remove_file(&file).unwrap_or_default();
    }
}

#[test]
fn a_server_is_asked_once_for_all_and_plain_nix_brings_them_too() {
    let place = Place::new();
    let repository = place.repository("large");
    let mut tree = tree();
    // More than what else a sandbox's store may show.
    let contents: Vec<String> = (0..24).map(|number| format!("picture {number}\n")).collect();
    for (number, content) in contents.iter().enumerate() {
        keep(&repository, content);
        tree.insert(format!("package/{number}.png"), Item::File(pointer(content).into_bytes()));
    }
    keep(&repository, CONTENT);
    publish(&place, &tree, smudge(&repository));
    let server = Server::of(place.folder.path());
    let cache = place.folder.path().join("cache");
    let (mirror, cached) = (format!("https://git.example/recrate/={}/repositories/", server.address()), cache.to_str());
    let run = place.folder.path().join("run");
    let plan = run.join("plan.json");
    let arguments = ["large@1.0.0", "--out", run.to_str().unwrap(), "--git-mirror", &mirror];
    let said = |more: &[&str]| {
        let mut program = common::recrate();
        program.env("RECRATE_CACHE", cached.unwrap());
        common::verify_json_with(program, place.folder.path(), &[&arguments[..], more].concat())
    };
    assert_reproduced(&said(&[])["packages"][0], &["lfs-objects"]);
    let asked = server.asked();
    let count = |what: &str| asked.iter().filter(|line| line.contains(what)).count();
    assert_eq!((count("/batch"), count("/lfs/objects/")), (1, 25 + 1), "{asked:#?}");
    assert_reproduced(&said(&["--offline"])["packages"][0], &["lfs-objects"]);
    assert_eq!(server.asked(), [""; 0], "they are in the cache");

    let text: Value = serde_json::from_slice(&std::fs::read(&plan).unwrap()).unwrap();
    let store = store_with_programs(place.folder.path(), "https://git.example/recrate/", &server, &text);
    let out = build(&store, &server, &plan, "verdicts").unwrap();
    let verdict = std::fs::read_to_string(store.real(&out[0]).join("verdict.txt")).unwrap();
    assert!(verdict.contains("reproduced"), "{verdict}");
    assert_eq!(server.asked().iter().filter(|line| line.contains("/batch")).count(), 25, "one for each leaf");

    // The pointer decides what may replace it.
    let mut tampered = text;
    let lfs = tampered["packages"]["large-1_0_0"]["build"]["rebuild"]["recipe"]["lfs"].as_object_mut().unwrap();
    let other = lfs["package/1.png"].clone();
    lfs["package/0.png"] = other;
    std::fs::write(&plan, tampered.to_string()).unwrap();
    let said = common::replay_json(place.folder.path(), &plan, &["--git-mirror", &mirror]);
    let reason = common::reason(&said);
    assert!(reason.contains("is not the LFS object that the commit points at"), "{reason}");
}

#[test]
fn a_server_that_gives_something_else_or_has_nothing_is_the_crates_verdict() {
    let place = Place::new();
    let repository = place.repository("large");
    let file = keep(&repository, CONTENT);
    publish(&place, &tree(), smudge(&repository));
    let server = Server::of(place.folder.path());
    let mirror = format!("https://git.example/recrate/={}/repositories/", server.address());
    let cache = place.folder.path().join("cache");
    let said = || {
        let mut program = common::recrate();
        program.env("RECRATE_CACHE", &cache);
        let said = common::verify_json_with(program, place.folder.path(), &["large@1.0.0", "--git-mirror", &mirror]);
        let said = &said["packages"][0];
        (said["verdict"].as_str().unwrap().to_owned(), common::reason(said).to_owned())
    };
    std::fs::write(&file, CONTENT.replace("like", "dare")).unwrap();
    let (kind, reason) = said();
    assert!(kind == "error" && reason.contains("gives something else"), "{kind}: {reason}");
    std::fs::remove_file(&file).unwrap();
    let (kind, reason) = said();
    assert!(kind == "unverifiable" && reason.contains("Object does not exist"), "{kind}: {reason}");
    keep(&repository, CONTENT);
    assert_eq!(said().0, "reproduced", "nothing wrong is remembered");
}
