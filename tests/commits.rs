//! What is said of a crate's commit itself: who reaches it, and what contradicts it.

mod common;

use std::io::Read as _;

use common::place::Place;
use common::site::Site;
use common::workshop::{Bare, Cargo, Files, Release, edit, files, name_commit, pack, unpack};
use common::{recrate, verify_json_with};
use serde_json::{Value, json};

const RELEASE: Release<'_> =
    Release { name: "own", version: "1.0.0", published: "2025-03-01T12:00:00Z", requires: &[] };

/// A repository, the commits of two versions in it, and the second one's crate.
struct Published {
    place: Place,
    repository: Bare,
    before: String,
    commit: String,
    bytes: Vec<u8>,
}

fn tree(version: &str) -> Files {
    let manifest = format!(
        "[package]\nname = \"own\"\nversion = \"{version}\"\nedition = \"2021\"\nlicense = \"MIT\"\n\
         description = \"Tagged\"\nrepository = \"https://git.example/recrate/own\"\n"
    );
    files([("Cargo.toml", &manifest), ("src/lib.rs", "//! Own.\n")])
}

impl Published {
    fn new() -> Self {
        let place = Place::new();
        let repository = place.repository("own");
        let before = repository.commit(&tree("0.9.0"), "own 0.9.0");
        let commit = repository.commit(&tree("1.0.0"), "own 1.0.0");
        let cargo = Cargo::find(85).expect("cargo 1.85 is imported");
        let bytes = cargo.package(&repository, "", &place.registry.path, &Files::new());
        place.registry.publish(&RELEASE, &bytes);
        Self { place, repository, before, commit, bytes }
    }

    fn set(&self, reference: &str, commit: &str) {
        let file = self.repository.path.join(reference);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, format!("{commit}\n")).unwrap();
    }

    fn verify(&self) -> Value {
        self.place.verify("own@1.0.0")
    }
}

#[test]
fn the_default_branch_and_the_nearest_tag_are_named() {
    let published = Published::new();
    let after = published.repository.commit(&tree("1.1.0"), "own 1.1.0");
    published.set("refs/heads/a-release", &published.commit);
    published.set("refs/tags/v1.1.0", &after);
    published.set("refs/tags/v0.9.0", &published.before);
    let reach = |said: &Value| said["origin"]["reach"].clone();
    assert_eq!(reach(&published.verify()), json!({ "by": { "branch": "main", "tag": "v1.1.0" } }));
    published.set("refs/tags/v1.0.0", &published.commit);
    assert_eq!(reach(&published.verify()), json!({ "by": { "branch": "main", "tag": "v1.0.0" } }));
    published.set("refs/heads/main", &published.before);
    let said = published.verify();
    assert_eq!(reach(&said), json!({ "by": { "branch": "a-release", "tag": "v1.0.0" } }));
    assert_eq!(said["verdict"]["kind"], "reproduced", "{said:#}");
}

#[test]
fn a_commit_that_nothing_reaches_is_just_that_however_equal_the_bytes_are() {
    let published = Published::new();
    published.set("refs/heads/main", &published.before);
    let said = published.verify();
    assert_eq!(said["verdict"], json!({ "kind": "unreached-commit", "bytes": "reproduced" }), "{said:#}");
    assert_eq!(said["origin"]["reach"], "nothing");
}

#[test]
fn a_server_is_asked_for_its_branches_and_tags_too() {
    let site = Site::new();
    site.publish("one", "one", |bytes| bytes);
    let said = site.verify(&["one@1.0.0"])["crates"][0].clone();
    assert_eq!(said["origin"]["reach"], json!({ "by": { "branch": "main", "tag": null } }), "{said:#}");

    // The server still gives the commit to whoever asks for it by its id.
    let repository = site.repository("two");
    site.publish("two", "two", |bytes| bytes);
    std::fs::remove_file(repository.path.join("refs/heads/main")).unwrap();
    repository.commit(&files([("README.md", "Nothing to see.\n")]), "another history");
    let said = site.verify(&["two@1.0.0"])["crates"][0].clone();
    assert_eq!(said["verdict"]["kind"], "unreached-commit", "{said:#}");
}

#[test]
fn a_tag_of_the_version_on_another_commit_is_listed_even_where_the_bytes_match() {
    let published = Published::new();
    published.set("refs/tags/v1.0.0", &published.before);
    let said = published.verify();
    assert_eq!(said["verdict"]["kind"], "reproduced", "{said:#}");
    let tag = format!("the tag v1.0.0 is on another commit, {}", &published.before[..10]);
    assert_eq!(said["contradictions"], json!([tag]));
}

#[test]
fn another_version_at_the_commit_is_a_difference_of_the_source() {
    let published = Published::new();
    let mut entries = unpack(&published.bytes);
    name_commit(&mut entries, &published.before);
    published.place.registry.publish(&RELEASE, &pack(&entries));
    let said = published.verify();
    assert_eq!(said["verdict"]["kind"], "source-differs", "{said:#}");
    assert_eq!(said["verdict"]["differences"][0]["details"], json!(["the commit packages own-0.9.0"]));
    assert_eq!(said["contradictions"], json!(["the manifest at the commit says version 0.9.0"]));
}

/// Publishes another version that names another repository.
fn publish_elsewhere(published: &Published, version: &str, repository: &Bare) {
    let cargo = Cargo::find(85).expect("cargo 1.85 is imported");
    let mut entries = unpack(&cargo.package(repository, "", &published.place.registry.path, &Files::new()));
    edit(&mut entries, "Cargo.toml", |text| text.replace("recrate/own", "recrate/new-home"));
    let release = Release { version, ..RELEASE };
    published.place.registry.publish(&release, &pack(&entries));
}

#[test]
fn a_commit_is_looked_for_where_the_repository_moved_and_where_other_versions_point() {
    let published = Published::new();
    let repositories = published.place.folder.path().join("repositories");
    std::fs::rename(repositories.join("own.git"), repositories.join("new-home.git")).unwrap();
    assert_eq!(published.verify()["verdict"]["kind"], "unverifiable");

    let moved =
        "[[moved]]\nfrom = \"https://git.example/recrate/own\"\nto = \"https://git.example/recrate/new-home\"\n";
    let config = published.place.folder.path().join("recrate.toml");
    let before = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{before}\n{moved}")).unwrap();
    let said = published.verify();
    assert_eq!(said["verdict"]["kind"], "reproduced", "{said:#}");
    assert!(said["contradictions"][0].as_str().unwrap().contains("new-home, where it moved to, does"), "{said:#}");

    std::fs::write(&config, before).unwrap();
    let repository = Bare::at(repositories.join("new-home.git"));
    repository.commit(&tree("1.1.0"), "own 1.1.0");
    publish_elsewhere(&published, "1.1.0", &repository);
    let said = published.verify();
    assert_eq!(said["verdict"]["kind"], "reproduced", "{said:#}");
    assert_eq!(said["origin"]["repository"], "https://git.example/recrate/new-home");
    let contradiction = said["contradictions"][0].as_str().unwrap();
    assert!(contradiction.contains("new-home, which own@1.1.0 names, does"), "{contradiction}");
}

#[test]
fn a_crate_without_a_repository_takes_that_of_another_version() {
    let published = Published::new();
    let mut nameless = tree("1.0.0");
    let text =
        "[package]\nname = \"own\"\nversion = \"1.0.0\"\nedition = \"2021\"\nlicense = \"MIT\"\ndescription = \"x\"\n";
    nameless.extend(files([("Cargo.toml", text)]));
    published.repository.commit(&nameless, "own 1.0.0, without an address");
    let cargo = Cargo::find(85).expect("cargo 1.85 is imported");
    published
        .place
        .registry
        .publish(&RELEASE, &cargo.package(&published.repository, "", &published.place.registry.path, &Files::new()));
    assert_eq!(published.verify()["verdict"]["kind"], "unverifiable");
    published.place.registry.publish(&Release { version: "0.9.0", ..RELEASE }, &{
        let mut entries = unpack(&published.bytes);
        entries.iter_mut().for_each(|entry| entry.path = entry.path.replace("own-1.0.0", "own-0.9.0"));
        pack(&entries)
    });
    let said = published.verify();
    assert_eq!(said["verdict"]["kind"], "reproduced", "{said:#}");
    assert_eq!(
        said["contradictions"],
        json!(["its Cargo.toml names no repository; own@0.9.0 names https://git.example/recrate/own"])
    );
}

#[test]
fn without_vcs_info_the_tag_of_the_version_is_rebuilt_and_never_called_reproduced() {
    let published = Published::new();
    let mut entries = unpack(&published.bytes);
    entries.retain(|entry| !entry.path.ends_with("/.cargo_vcs_info.json"));
    published.place.registry.publish(&RELEASE, &pack(&entries));
    assert_eq!(published.verify()["verdict"]["kind"], "unverifiable");
    published.set("refs/tags/v1.0.0", &published.commit);
    let said = published.verify();
    // The archive was put together again by this test.
    let expected = json!({ "kind": "other-commit", "tag": "v1.0.0", "bytes": "archive-differs" });
    assert_eq!(said["verdict"], expected, "{said:#}");

    edit(&mut entries, "src/lib.rs", |text| format!("{text}// and more\n"));
    published.place.registry.publish(&RELEASE, &pack(&entries));
    let said = published.verify();
    assert_eq!(said["verdict"]["bytes"], "source-differs", "{said:#}");
    assert_eq!(said["verdict"]["differences"][0]["path"], "src/lib.rs");
}

/// Software Heritage as its public API has it, for one commit: the object at once, the files once they are put together.
fn archive_of(published: &Published, hidden: &std::path::Path, tampered: bool) -> String {
    let (commit, repository) = (published.commit.clone(), hidden.to_owned());
    let mut object = Vec::new();
    let file = repository.join("objects").join(&commit[..2]).join(&commit[2..]);
    flate2::read::ZlibDecoder::new(&std::fs::read(file).unwrap()[..]).read_to_end(&mut object).unwrap();
    let text = String::from_utf8_lossy(&object).into_owned();
    let root = text.split('\0').nth(1).unwrap()["tree ".len()..].split('\n').next().unwrap().to_owned();
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default()));
    for (path, item) in tree("1.0.0") {
        let common::workshop::Item::File(mut body) = item else { panic!("only files") };
        if tampered {
            body.extend_from_slice(b"# more\n");
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(body.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("swh:1:dir:{root}/{path}"), &body[..]).unwrap();
    }
    let files = tar.into_inner().unwrap().finish().unwrap();
    let server = tiny_http::Server::http("127.0.0.1:0").unwrap();
    let address = format!("http://{}", server.server_addr());
    let own = address.clone();
    std::thread::spawn(move || {
        for request in server.incoming_requests() {
            let asked = format!("{} {}", request.method(), request.url());
            let cooking = format!("/api/1/vault/flat/swh:1:dir:{root}/");
            let body = if asked == format!("GET /api/1/raw/swh:1:rev:{commit}/") {
                object.clone()
            } else if asked == format!("POST {cooking}") {
                br#"{"id":1,"status":"new","progress_message":null,"fetch_url":null}"#.to_vec()
            } else if asked == format!("GET {cooking}") {
                format!(r#"{{"id":1,"status":"done","fetch_url":"{own}/raw"}}"#).into_bytes()
            } else if asked == "GET /raw" {
                files.clone()
            } else {
                let _ = request.respond(tiny_http::Response::from_data(Vec::new()).with_status_code(404));
                continue;
            };
            let _ = request.respond(tiny_http::Response::from_data(body));
        }
    });
    address
}

#[test]
fn a_commit_that_is_nowhere_else_comes_from_the_archive_of_all_source_code() {
    let published = Published::new();
    let hidden = published.place.folder.path().join("hidden.git");
    std::fs::rename(&published.repository.path, &hidden).unwrap();
    let verify = |address: &str| {
        let cache = tempfile::tempdir().unwrap();
        let mut program = recrate();
        program.env("RECRATE_CACHE", cache.path());
        let option = format!("--software-heritage={address}");
        verify_json_with(program, published.place.folder.path(), &["own@1.0.0", &option])["crates"][0].clone()
    };
    let said = verify(&archive_of(&published, &hidden, false));
    assert_eq!(said["verdict"]["kind"], "reproduced", "{said:#}");
    let contradiction = said["contradictions"][0].as_str().unwrap();
    assert!(contradiction.ends_with("does not have the commit; Software Heritage does"), "{contradiction}");

    let said = verify(&archive_of(&published, &hidden, true));
    assert_eq!(said["verdict"]["kind"], "unverifiable", "other files are not the commit's: {said:#}");

    // Where the repository is still there, the archive does not make its branches reach the commit.
    Bare::at(&published.repository.path).commit(&tree("0.9.0"), "what is left");
    let said = verify(&archive_of(&published, &hidden, false));
    assert_eq!(said["verdict"]["kind"], "unreached-commit", "{said:#}");
}
