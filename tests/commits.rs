//! What is said of a crate's commit itself: who reaches it, and what contradicts it.

mod common;

use std::io::Read as _;

use common::place::Place;
use common::site::Site;
use common::workshop::{Bare, Cargo, Files, Release, edit, files, name_commit, pack, unpack};
use common::{contradictions, recrate, verify_json_with};
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

    /// What a policy decides.
    fn decision(&self, policy: &str) -> String {
        let report = common::verify_json(self.place.folder.path(), &["own@1.0.0", "--accept", policy]);
        report["packages"][0]["decision"]["kind"].as_str().unwrap().to_owned()
    }
}

/// Whether a package's commit is reached, by which branch and by which tag.
fn reach(said: &Value) -> (&str, &str, &str) {
    let reach = &said["findings"]["reach"];
    let text = |key: &str| reach[key].as_str().unwrap_or_default();
    (text("kind"), text("branch"), text("tag"))
}

#[test]
fn the_default_branch_and_the_nearest_tag_are_named() {
    let published = Published::new();
    let after = published.repository.commit(&tree("1.1.0"), "own 1.1.0");
    published.set("refs/heads/a-release", &published.commit);
    published.set("refs/tags/v1.1.0", &after);
    published.set("refs/tags/v0.9.0", &published.before);
    assert_eq!(reach(&published.verify()), ("reached", "main", "v1.1.0"));
    published.set("refs/tags/v1.0.0", &published.commit);
    assert_eq!(reach(&published.verify()), ("reached", "main", "v1.0.0"));
    published.set("refs/heads/main", &published.before);
    let said = published.verify();
    assert_eq!(reach(&said), ("reached", "a-release", "v1.0.0"));
    assert_eq!(said["verdict"], "reproduced", "{said:#}");
}

#[test]
fn a_commit_that_nothing_reaches_is_just_that_however_equal_the_bytes_are() {
    let published = Published::new();
    published.set("refs/heads/main", &published.before);
    let said = published.verify();
    assert_eq!(said["verdict"], "unreachable-commit", "{said:#}");
    assert_eq!(said["findings"]["contents"]["kind"], "bit-for-bit", "{said:#}");
    assert_eq!(reach(&said), ("unreachable", "", ""));
    for (policy, decision) in [("strict", "rejected"), ("default", "rejected"), ("contents-only", "accepted")] {
        assert_eq!(published.decision(policy), decision, "{policy}");
    }
}

#[test]
fn a_server_is_asked_for_its_branches_and_tags_too() {
    let site = Site::new();
    site.publish("one", "one", |bytes| bytes);
    let said = site.verify(&["one@1.0.0"])["packages"][0].clone();
    assert_eq!(reach(&said), ("reached", "main", ""), "{said:#}");
    let asked = &said["findings"]["reach"]["asked"];
    assert_eq!(asked["source"], format!("{}/git/team/one", site.server.address()), "{asked:#}");

    // The server still gives the commit to whoever asks for it by its id.
    let repository = site.repository("two");
    site.publish("two", "two", |bytes| bytes);
    std::fs::remove_file(repository.path.join("refs/heads/main")).unwrap();
    repository.commit(&files([("README.md", "Nothing to see.\n")]), "another history");
    let said = site.verify(&["two@1.0.0"])["packages"][0].clone();
    assert_eq!(said["verdict"], "unreachable-commit", "{said:#}");
}

#[test]
fn a_tag_of_the_version_on_another_commit_contradicts_however_equal_the_bytes_are() {
    let published = Published::new();
    published.set("refs/tags/v1.0.0", &published.before);
    let said = published.verify();
    assert_eq!(said["verdict"], "contradicted-origin", "{said:#}");
    assert_eq!(said["findings"]["contents"]["kind"], "bit-for-bit", "{said:#}");
    let tag = json!({ "kind": "tag", "tag": "v1.0.0", "commit": published.before });
    assert_eq!(contradictions(&said), &json!([tag]));
    for (policy, decision) in [("strict", "rejected"), ("default", "rejected"), ("contents-only", "accepted")] {
        assert_eq!(published.decision(policy), decision, "{policy}");
    }
}

#[test]
fn another_version_at_the_commit_is_a_difference_of_the_source() {
    let published = Published::new();
    let mut entries = unpack(&published.bytes);
    name_commit(&mut entries, &published.before);
    published.place.registry.publish(&RELEASE, &pack(&entries));
    let said = published.verify();
    assert_eq!(said["verdict"], "source-differs", "{said:#}");
    assert_eq!(said["findings"]["contents"]["differences"][0]["details"], json!(["the commit packages own-0.9.0"]));
    assert_eq!(contradictions(&said), &json!([{ "kind": "version", "version": "0.9.0" }]));
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
fn a_repository_that_was_renamed_is_a_condition_where_the_verifier_knows_it_and_a_contradiction_elsewhere() {
    let published = Published::new();
    let repositories = published.place.folder.path().join("repositories");
    std::fs::rename(repositories.join("own.git"), repositories.join("new-home.git")).unwrap();
    assert_eq!(published.verify()["verdict"], "unverifiable");

    let renamed = "[[renamed-repository]]\nfrom = \"https://git.example/recrate/own\"\n\
        to = \"https://git.example/recrate/new-home\"\n";
    let config = published.place.folder.path().join("recrate.toml");
    let before = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{before}\n{renamed}")).unwrap();
    let said = published.verify();
    assert_eq!(said["verdict"], "reproduced", "{said:#}");
    let condition = json!({ "kind": "renamed-repository", "from": "https://git.example/recrate/own" });
    assert_eq!(said["findings"]["conditions"], json!([condition]), "{said:#}");
    assert_eq!(contradictions(&said), &json!([]), "{said:#}");

    std::fs::write(&config, before).unwrap();
    let repository = Bare::at(repositories.join("new-home.git"));
    repository.commit(&tree("1.1.0"), "own 1.1.0");
    publish_elsewhere(&published, "1.1.0", &repository);
    let said = published.verify();
    assert_eq!(said["verdict"], "contradicted-origin", "{said:#}");
    assert_eq!(said["findings"]["origin"]["repository"], "https://git.example/recrate/new-home");
    let named = json!({ "kind": "repository", "named": "https://git.example/recrate/own" });
    assert_eq!(contradictions(&said), &json!([named]), "{said:#}");
    assert_eq!(said["decision"]["kind"], "rejected");
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
    assert_eq!(published.verify()["verdict"], "unverifiable");
    published.place.registry.publish(&Release { version: "0.9.0", ..RELEASE }, &{
        let mut entries = unpack(&published.bytes);
        entries.iter_mut().for_each(|entry| entry.path = entry.path.replace("own-1.0.0", "own-0.9.0"));
        pack(&entries)
    });
    let said = published.verify();
    assert_eq!(said["verdict"], "matched-by-tag-only", "{said:#}");
    assert_eq!(said["findings"]["origin"]["namedBy"], "other-version", "{said:#}");
    assert_eq!(said["findings"]["contents"]["kind"], "bit-for-bit", "{said:#}");
    assert_ne!(said["decision"]["kind"], "accepted");
}

#[test]
fn without_vcs_info_the_tag_of_the_version_is_rebuilt_and_never_called_reproduced() {
    let published = Published::new();
    let mut entries = unpack(&published.bytes);
    entries.retain(|entry| !entry.path.ends_with("/.cargo_vcs_info.json"));
    published.place.registry.publish(&RELEASE, &pack(&entries));
    assert_eq!(published.verify()["verdict"], "unverifiable");
    published.set("refs/tags/v1.0.0", &published.commit);
    let said = published.verify();
    assert_eq!(said["verdict"], "matched-by-tag-only", "{said:#}");
    assert_eq!(said["findings"]["origin"]["namedBy"], json!({ "tag": "v1.0.0" }), "{said:#}");
    assert_eq!(said["findings"]["contents"]["kind"], "bit-for-bit", "{said:#}");
    assert_eq!(published.decision("default"), "undetermined");

    edit(&mut entries, "src/lib.rs", |text| format!("{text}// and more\n"));
    published.place.registry.publish(&RELEASE, &pack(&entries));
    let said = published.verify();
    assert_eq!(said["verdict"], "source-differs", "{said:#}");
    assert_eq!(said["findings"]["contents"]["differences"][0]["path"], "src/lib.rs");
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
        verify_json_with(program, published.place.folder.path(), &["own@1.0.0", &option])["packages"][0].clone()
    };
    let said = verify(&archive_of(&published, &hidden, false));
    assert_eq!(said["findings"]["contents"]["kind"], "bit-for-bit", "{said:#}");
    // Nobody can say any more which branches and tags reached it.
    assert_eq!((said["verdict"].as_str(), reach(&said).0), (Some("reach-unknown"), "unknown"), "{said:#}");
    assert_eq!(said["decision"]["kind"], "undetermined");

    let said = verify(&archive_of(&published, &hidden, true));
    assert_eq!(said["verdict"], "unverifiable", "other files are not the commit's: {said:#}");

    // Where the repository is still there, the archive does not make its branches reach the commit.
    Bare::at(&published.repository.path).commit(&tree("0.9.0"), "what is left");
    let said = verify(&archive_of(&published, &hidden, false));
    assert_eq!(said["verdict"], "unreachable-commit", "{said:#}");
}
