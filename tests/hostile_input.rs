//! Crates and repositories by strangers who mean harm: each is one crate's verdict, in good time, and nothing else.

mod common;

use std::io::Write as _;
use std::time::{Duration, Instant};

use common::measure::measure;
use common::raw::Raw;
use common::site::Site;
use common::workshop::{Bare, Entry, Files, Item, Release, edit, entry, files, name_commit, pack, unpack};
use serde_json::Value;

/// Publishes a crate of `site`, changed by `change`, and gives its verdict.
fn verdict(site: &Site, change: impl Fn(&mut Vec<Entry>)) -> Value {
    site.publish("bait", "bait", |bytes| {
        let mut entries = unpack(&bytes);
        change(&mut entries);
        pack(&entries)
    });
    verdict_as_it_is(site)
}

fn verdict_as_it_is(site: &Site) -> Value {
    let start = Instant::now();
    let report = site.verify(&["bait@1.0.0"]);
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    report["packages"][0].clone()
}

#[test]
fn vcs_info_that_is_none_or_leads_out() {
    for text in [
        "",
        "null",
        "[]",
        "{\"git\":{\"sha1\":\"HEAD\"},\"path_in_vcs\":\"\"}",
        "{\"git\":{\"sha1\":\"--upload-pack=touch /tmp/x\"},\"path_in_vcs\":\"\"}",
        "{\"git\":{\"sha1\":\"0123456789012345678901234567890123456789\"},\"path_in_vcs\":\"../../etc\"}",
        "{\"git\":{\"sha1\":\"0123456789012345678901234567890123456789\"},\"path_in_vcs\":\"/etc\"}",
    ] {
        let said = verdict(&Site::new(), |entries| edit(entries, ".cargo_vcs_info.json", |_| text.to_owned()));
        assert_eq!(said["verdict"], "unverifiable", "{text}: {said:#}");
    }
}

#[test]
fn repositories_at_addresses_that_git_would_run_something_for() {
    for address in [
        "ext::sh -c 'touch /tmp/recrate-was-fooled'",
        "--upload-pack=touch /tmp/recrate-was-fooled",
        "file:///etc",
        "ssh://-oProxyCommand=touch%20x/a/b",
        "https://git.example/../../../etc/a",
        "https://git.example/team/bait\\n.evil",
    ] {
        let said = verdict(&Site::new(), |entries| {
            edit(entries, "Cargo.toml", |text| text.replace("https://git.example/team/bait", address));
        });
        assert_eq!(said["verdict"], "unverifiable", "{address}: {said:#}");
    }
    assert!(!std::path::Path::new("/tmp/recrate-was-fooled").exists());
}

/// A crate that says it has a file of 8 GiB, and unpacks to as many MiB.
fn bomb(mebibytes: usize) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut header = tar::Header::new_gnu();
    header.set_path("bait-1.0.0/zeros").unwrap();
    header.set_size(8 << 30);
    header.set_mode(0o644);
    header.set_cksum();
    gzip.write_all(header.as_bytes()).unwrap();
    let zeros = vec![0; 1 << 20];
    (0..mebibytes).for_each(|_| gzip.write_all(&zeros).unwrap());
    gzip.finish().unwrap()
}

#[test]
fn archives_that_grow_without_end_many_at_once() {
    let site = Site::new();
    let bytes = bomb(1024);
    let names: Vec<String> = (0..16).map(|number| format!("bomb{number}")).collect();
    for name in &names {
        let release = Release { name, version: "1.0.0", published: "2025-03-01T12:00:00Z", requires: &[] };
        site.registry.publish(&release, &bytes);
    }
    site.configure(&format!(
        "[source.crates-io]\nreplace-with = \"here\"\n[source.here]\nlocal-registry = \"{}\"\n",
        site.registry.path.display()
    ));
    let mut recrate = std::process::Command::new(env!("CARGO_BIN_EXE_recrate"));
    recrate.current_dir(site.project()).env("RECRATE_CACHE", site.folder.path().join("cache"));
    recrate.args(["verify", "--toolchains", "imported", "--format", "json", "--quiet", "--out"]);
    recrate.arg(site.folder.path().join("run")).args(names.iter().map(|name| format!("{name}@1.0.0")));
    let measured = measure(&mut recrate);
    let report: Value = serde_json::from_slice(&measured.output.stdout).unwrap();
    for package in report["packages"].as_array().unwrap() {
        assert_eq!(package["verdict"], "malformed-archive", "{package:#}");
        let reason = package["findings"]["archive"]["reason"].as_str().unwrap();
        assert_eq!(reason, "unpacks to more than 536870912 bytes");
    }
    assert!(measured.peak < 300, "{} MB", measured.peak);
    assert!(measured.time < Duration::from_secs(60), "{:?}", measured.time);
}

#[test]
fn a_name_of_half_a_gigabyte_is_not_read() {
    let site = Site::new();
    site.publish("bait", "bait", |_| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut header = tar::Header::new_gnu();
        header.set_path("@LongLink").unwrap();
        header.set_entry_type(tar::EntryType::GNULongName);
        header.set_size(500 << 20);
        header.set_cksum();
        gzip.write_all(header.as_bytes()).unwrap();
        let text = vec![b'x'; 1 << 20];
        (0..500).for_each(|_| gzip.write_all(&text).unwrap());
        gzip.finish().unwrap()
    });
    let said = verdict_as_it_is(&site);
    assert_eq!(said["verdict"], "malformed-archive", "{said:#}");
    assert_eq!(said["findings"]["archive"]["reason"], "an entry has a name of 524288000 bytes, more than 4096");
}

#[test]
fn archives_with_thousands_of_levels() {
    let site = Site::new();
    site.publish("bait", "bait", |bytes| {
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for one in unpack(&bytes) {
            let mut header = tar::Header::new_gnu();
            header.set_size(one.body.len() as u64);
            header.set_mode(one.mode);
            tar.append_data(&mut header, &one.path, &one.body[..]).unwrap();
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("bait-1.0.0/{}f", "d/".repeat(5000)), &[][..]).unwrap();
        tar.into_inner().unwrap().finish().unwrap()
    });
    let said = verdict_as_it_is(&site);
    assert_eq!(said["verdict"], "malformed-archive", "{said:#}");
}

/// Publishes an honest crate whose vcs info names a commit with these files.
fn from_commit(add: impl Fn(&mut Files, &Bare)) -> Value {
    let site = Site::new();
    site.publish("bait", "bait", |bytes| {
        let repository = site.repository("bait");
        let mut tree = files([("src/lib.rs", "//! Served.\n"), (".gitignore", "target\n")]);
        let manifest = entry(&mut unpack(&bytes), "Cargo.toml.orig").body.clone();
        tree.insert("Cargo.toml".to_owned(), Item::File(manifest));
        add(&mut tree, &repository);
        let commit = repository.commit(&tree, "hostile");
        let mut entries = unpack(&bytes);
        name_commit(&mut entries, &commit);
        // A file of a folder that may be a submodule.
        let mut part = entry(&mut entries, "src/lib.rs").clone();
        part.path = part.path.replace("src/lib.rs", "src/part/lib.rs");
        entries.push(part);
        pack(&entries)
    });
    verdict_as_it_is(&site)
}

#[test]
fn commits_that_would_write_into_git_or_out_of_the_tree() {
    for path in [".git/hooks/post-checkout", ".GIT/config", "a/.git/config", "../x", "./x", "a/../../x"] {
        let said = from_commit(|tree, _| drop(tree.insert(path.to_owned(), Item::Program(b"#!/bin/sh\n".to_vec()))));
        assert_eq!(said["verdict"], "unverifiable", "{path}: {said:#}");
    }
}

#[test]
fn commits_with_a_thousand_levels() {
    let path = format!("{}f", "d/".repeat(1000));
    let said = from_commit(|tree, _| drop(tree.insert(path.clone(), Item::File(Vec::new()))));
    assert_eq!(said["verdict"], "unverifiable", "{said:#}");
}

#[test]
fn odd_names_in_a_commit_are_no_matter() {
    let said = from_commit(|tree, _| {
        for path in ["a b", "ö", "quote\"d", "line\nbreak", "tab\there", "-rf", "$(touch x)"] {
            tree.insert(format!("docs/{path}"), Item::File(b"x".to_vec()));
        }
    });
    // They are not in the published crate, so the source differs; what counts is that it was rebuilt and compared.
    assert!(["source-differs", "packaging-failed"].contains(&said["verdict"].as_str().unwrap()), "{said:#}");
}

#[test]
fn names_in_a_commit_that_are_no_text_are_no_matter() {
    let said = from_commit(|tree, repository| {
        let blob = repository.object("blob", b"x");
        let id = (0..20).map(|at| u8::from_str_radix(&blob[2 * at..2 * at + 2], 16).unwrap());
        let folder: Vec<u8> = b"100644 \xff\xfe.rs\0".iter().copied().chain(id).collect();
        tree.insert("docs".to_owned(), Item::Folder(repository.object("tree", &folder)));
    });
    assert!(["source-differs", "packaging-failed"].contains(&said["verdict"].as_str().unwrap()), "{said:#}");
}

#[test]
fn a_name_in_a_crate_that_is_no_text_is_a_difference() {
    let site = Site::new();
    site.publish("bait", "bait", |bytes| {
        let mut raw = Raw::read(&bytes);
        raw.add("b.rs", b"x");
        let entry = raw.entry("b.rs");
        entry.write("bait-1.0.0/".len(), b"\xff");
        raw.write()
    });
    let said = verdict_as_it_is(&site);
    assert!(["source-differs", "malformed-archive"].contains(&said["verdict"].as_str().unwrap()), "{said:#}");
}

#[test]
fn submodules_at_addresses_that_git_would_run_something_for() {
    let fooled = std::path::Path::new("/tmp/recrate-was-fooled");
    for address in [
        "ext::sh -c 'touch /tmp/recrate-was-fooled'",
        "--upload-pack=touch /tmp/recrate-was-fooled",
        "file:///etc",
        "/etc",
        "../../../../../etc",
        "ssh://-oProxyCommand=touch%20x/a/b",
        "https://user:secret@git.example/team/part",
    ] {
        let said = from_commit(|tree, _| {
            let modules = format!(
                "[submodule \"part\"]\n\tpath = src/part\n\turl = {address}\n\tupdate = !touch {}\n",
                fooled.display()
            );
            tree.insert(".gitmodules".to_owned(), Item::File(modules.into_bytes()));
            tree.insert("src/part".to_owned(), Item::Submodule("a".repeat(40)));
        });
        assert_eq!(said["verdict"], "unverifiable", "{address}: {said:#}");
        assert!(common::reason(&said).contains("its submodule src/part can't be fetched"), "{address}: {said:#}");
    }
    assert!(!fooled.exists());
}

#[test]
fn a_manifest_that_asks_for_the_worst_is_packaged_or_refused_in_the_sandbox() {
    for more in [
        "\n[dependencies]\nevil = { path = \"/etc\" }\n",
        "\n[workspace]\nmembers = [\"../../..\", \"/\"]\n",
        "\n[package.metadata]\nx = 1\n[dependencies]\nevil = { git = \"ext::sh -c x\" }\n",
        "\n[dependencies]\nevil = { version = \"1\", registry = \"elsewhere\" }\n",
    ] {
        let said = from_commit(|tree, _| {
            let Some(Item::File(manifest)) = tree.get_mut("Cargo.toml") else { panic!() };
            manifest.extend_from_slice(more.as_bytes());
        });
        assert!(
            ["source-differs", "packaging-failed"].contains(&said["verdict"].as_str().unwrap()),
            "{more}: {said:#}"
        );
    }
}

#[test]
fn one_bad_crate_among_good_ones_does_not_end_the_run() {
    let site = Site::new();
    site.publish("good", "good", |bytes| bytes);
    let release = Release { name: "bait", version: "1.0.0", published: "2025-03-01T12:00:00Z", requires: &[] };
    site.registry.publish(&release, b"not even an archive");
    let report = site.verify(&["bait@1.0.0", "good@1.0.0"]);
    let kinds: Vec<_> = report["packages"].as_array().unwrap().iter().map(|one| one["verdict"].clone()).collect();
    assert_eq!(kinds, ["malformed-archive", "reproduced"]);
}

#[test]
fn what_cargo_packs_from_outside_of_the_commit_makes_a_rebuild_worth_nothing() {
    for (more, file) in [
        ("readme = \"/etc/passwd\"\n", "passwd"),
        ("readme = \"../cargo-home/config.toml\"\n", "config.toml"),
        ("license-file = \"../rustc\"\n", "rustc"),
        ("include = [\"src\", \".git/HEAD\"]\n", ".git/HEAD"),
    ] {
        let said = from_commit(|tree, _| {
            let Some(Item::File(manifest)) = tree.get_mut("Cargo.toml") else { panic!() };
            manifest.extend_from_slice(more.as_bytes());
        });
        assert_eq!(said["verdict"], "packaging-failed", "{more}: {said:#}");
        let reason = said["findings"]["rebuild"]["reason"].as_str().unwrap();
        let packs = format!("cargo packs {file}, which the commit does not have like that");
        let leads_out = "the repository's Cargo.toml takes something from outside of it";
        assert!(reason == packs || reason == leads_out || reason.starts_with("cargo: "), "{more}: {reason}");
    }
}

#[test]
fn a_registry_in_the_repository_does_not_stand_for_the_index() {
    let site = Site::new();
    let dep = Release { name: "dep", version: "1.0.0", published: "2025-01-01T12:00:00Z", requires: &[] };
    site.registry.publish(&dep, b"never read");
    // With a Cargo.lock, which shows which index it was.
    let manifest = "[package]\nname = \"bait\"\nversion = \"1.0.0\"\nedition = \"2018\"\nlicense = \"MIT\"\n\
        description = \"x\"\nrepository = \"https://git.example/team/bait\"\n[dependencies]\ndep = \"1\"\n";
    let line = "{\"name\":\"dep\",\"vers\":\"1.9.9\",\"deps\":[],\"cksum\":\"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\",\"features\":{},\"yanked\":false}\n";
    let config = "[source.crates-io]\nreplace-with = \"own\"\n\
        [source.own]\nlocal-registry = \"own\"\n";
    let bare = site.repository("bait");
    let code = ("src/main.rs", "fn main() {}\n");
    let tree = files([("Cargo.toml", manifest), code, (".cargo/config.toml", config), ("own/index/3/d/dep", line)]);
    bare.commit(&tree, "own registry");
    let cargo = common::workshop::Cargo::find(85).expect("cargo 1.85 is imported");
    let bytes = cargo.package(&bare, "", &site.registry.path, &Files::new());
    let lock = String::from_utf8(entry(&mut unpack(&bytes), "Cargo.lock").body.clone()).unwrap();
    assert!(lock.contains("1.9.9"), "cargo takes the repository's word: {lock}");
    let release = Release { name: "bait", version: "1.0.0", published: "2025-03-01T12:00:00Z", requires: &[] };
    site.registry.publish(&release, &bytes);
    let said = verdict_as_it_is(&site);
    assert!(!["reproduced", "same-contents"].contains(&said["verdict"].as_str().unwrap()), "{said:#}");
}
