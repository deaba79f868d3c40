//! Tests of which files of a commit packaging reads.

use super::*;
use crate::contract::trees::Leaf;

/// Files by path; one whose content begins with `-> ` is a link.
fn selected(files: &[(&str, &str)], folder: &str) -> Vec<String> {
    let mode = |content: &str| if content.starts_with("-> ") { Mode::Link } else { Mode::File };
    let leaf = |content: &str| Leaf { id: ObjectId([0; 20]), mode: mode(content) };
    let leaves: Leaves = files.iter().map(|(path, text)| (path.as_bytes().to_vec(), leaf(text))).collect();
    let content = |path: &[u8]| {
        let text = files.iter().find(|(name, _)| name.as_bytes() == path).unwrap().1;
        text.trim_start_matches("-> ").as_bytes().to_vec()
    };
    let selection = Selection::of::<()>(&leaves, &folder.parse().unwrap(), |path, _| Ok(content(path))).unwrap();
    let has = |(path, _): &&(&str, &str)| selection.has(path.as_bytes());
    files.iter().filter(has).map(|(path, _)| (*path).to_owned()).collect()
}

/// All but the files whose name begins with `not`.
fn assert_selects(files: &[(&str, &str)], folder: &str) {
    let wanted: Vec<&str> =
        files.iter().map(|(path, _)| *path).filter(|path| !base_name(path).starts_with("not")).collect();
    assert_eq!(selected(files, folder), wanted);
}

#[test]
fn the_packages_folder_is_whole_and_of_others_there_is_what_cargo_loads() {
    let manifest = "[package]\nname = \"x\"\n";
    assert_selects(
        &[
            (".cargo/config.toml", ""),
            (".gitattributes", ""),
            (".github/not.yml", ""),
            (".gitignore", ""),
            ("Cargo.lock", ""),
            ("Cargo.toml", "[workspace]\nmembers = [\"a\", \"b\"]\n"),
            ("a/Cargo.toml", manifest),
            ("a/data/deep/bytes", ""),
            ("a/src/lib.rs", ""),
            ("b/.gitignore", ""),
            ("b/Cargo.toml", manifest),
            ("b/benches/one.rs", ""),
            ("b/benches/two/main.rs", ""),
            ("b/benches/two/not.rs", ""),
            ("b/build.rs", ""),
            ("b/examples/not.txt", ""),
            ("b/not.md", ""),
            ("b/src/bin/tool/main.rs", ""),
            ("b/src/lib.rs", ""),
            ("b/src/not.rs", ""),
            ("notes", ""),
        ],
        "a",
    );
}

#[test]
fn what_manifests_name_outside_is_selected_inherited_or_not() {
    let own = "[package]\nname = \"a\"\nbuild = \"../build/a.rs\"\nreadme.workspace = true\n\
        [[bin]]\nname = \"x\"\npath = \"../bins/x.rs\"\n[dependencies]\nb = { path = \"../linked/b\" }\n";
    assert_selects(
        &[
            ("Cargo.toml", "[workspace.package]\nreadme = \"docs/READ.md\"\nlicense-file = \"LICENSE\"\n"),
            ("LICENSE", ""),
            ("a/Cargo.toml", own),
            ("b/Cargo.toml", ""),
            ("bins/not.rs", ""),
            ("bins/x.rs", ""),
            ("build/a.rs", ""),
            ("docs/READ.md", ""),
            ("docs/not.md", ""),
            ("linked", "-> ."),
        ],
        "a",
    );
}

#[test]
fn links_are_followed_to_their_end() {
    assert_selects(
        &[
            ("LICENSE", ""),
            ("a/Cargo.toml", ""),
            ("a/LICENSE", "-> ../second"),
            ("a/data", "-> ../shared/data"),
            ("a/gone", "-> ../nothing"),
            ("a/loop", "-> loop"),
            ("a/out", "-> /etc/passwd"),
            ("a/through", "-> ../passed/below/../../second"),
            ("a/up", "-> ../../.."),
            ("further", ""),
            ("not", ""),
            ("passed/below/it", ""),
            ("passed/not", ""),
            ("second", "-> LICENSE"),
            ("shared/data/deep/file", ""),
            ("shared/data/link", "-> ../../further"),
            ("shared/not", ""),
        ],
        "a",
    );
    // Wherever a link lies, it may stand on cargo's way.
    assert_selects(&[("Cargo.toml", ""), ("a/Cargo.toml", ""), ("b/l", "-> ../not"), ("not", "")], "a");
    // Configuration behind a link may include what nobody can tell.
    assert_selects(
        &[
            ("Cargo.toml", ""),
            ("a/Cargo.toml", ""),
            ("cfg/config.toml", ""),
            (".cargo", "-> cfg"),
            ("b/l", "-> ../more"),
            ("more", ""),
        ],
        "a",
    );
    // A link to the root is a link to everything.
    assert_selects(&[("a/Cargo.toml", ""), ("a/all", "-> .."), ("other/file", "")], "a");
}

#[test]
fn everything_is_selected_where_a_link_can_not_be_followed() {
    let leaf = |mode| Leaf { id: ObjectId([0; 20]), mode };
    let link = |path: &[u8]| {
        let files = [(path, Mode::Link), (b"a/Cargo.toml", Mode::File), (b"other", Mode::File)];
        files.map(|(path, mode)| (path.to_vec(), leaf(mode))).into_iter().collect::<Leaves>()
    };
    let selects_all = |leaves: &Leaves, target: &[u8]| {
        let read = |path: &[u8], _| Ok::<_, ()>(if path == b"a/Cargo.toml" { Vec::new() } else { target.to_vec() });
        Selection::of(leaves, &"a".parse().unwrap(), read).unwrap().has(b"other")
    };
    assert!(!selects_all(&link(b"a/link"), b"Cargo.toml"));
    assert!(selects_all(&link(b"a/link"), b"\xff"));
    assert!(selects_all(&link(b"b/\xff"), b"Cargo.toml"));
}

#[test]
fn configuration_leads_to_more_of_it_and_to_packages() {
    assert_selects(
        &[
            (".cargo/config", "include = [\"more.toml\", { path = \"../third.toml\" }]\npaths = [\"over\"]\n"),
            (".cargo/more.toml", "include = \"more.toml\"\n"),
            (".cargo/not.toml", ""),
            ("a/Cargo.toml", ""),
            ("over/Cargo.toml", ""),
            ("third.toml", ""),
        ],
        "a",
    );
}

#[test]
fn a_package_at_the_root_has_everything() {
    assert_selects(&[("Cargo.toml", "no TOML ["), ("a/b", ""), ("z", "-> a")], "");
}

#[test]
fn readmes_that_members_inherit_without_a_name_are_selected() {
    let own = "[package]\nname = \"a\"\nreadme.workspace = true\n";
    assert_selects(
        &[
            ("Cargo.toml", "[workspace]\nmembers = [\"a\"]\n[workspace.package]\nreadme = true\n"),
            ("README", ""),
            ("README.md", ""),
            ("README.txt", ""),
            ("a/Cargo.toml", own),
            ("not", ""),
        ],
        "a",
    );
}

#[test]
fn what_is_named_is_selected_by_its_letters_and_by_its_links() {
    let own = "[package]\nname = \"a\"\nlicense-file = \"../l/../LICENSE\"\n";
    assert_selects(
        &[("LICENSE", ""), ("a/Cargo.toml", own), ("l", "-> x/y"), ("x/LICENSE", ""), ("x/not", ""), ("x/y/z", "")],
        "a",
    );
}

#[test]
fn everything_is_selected_where_a_manifest_can_not_be_read_or_a_repository_lies_within() {
    let own = ("a/Cargo.toml", "[package]\nname = \"a\"\n");
    assert_selects(&[own, ("b/Cargo.toml", "d = 2021-02-30"), ("other", "")], "a");
    assert_selects(&[("HEAD", ""), own, ("objects/x", ""), ("other", ""), ("refs/x", "")], "a");
    assert_selects(&[own, ("deep/a/Cargo.toml", ""), ("not", "")], "a");
    let workspace = |members: &'static str| ("Cargo.toml", members);
    assert_selects(&[workspace("workspace.members = [\"**\"]"), own, ("other/x", "")], "a");
    // A member without a manifest is missed.
    let members = workspace("workspace.members = [\"a\", \"m-?/*\"]");
    assert_selects(
        &[members, own, ("m-1/empty/x", ""), ("m-1/full/Cargo.toml", ""), ("m-1/full/not", ""), ("not", "")],
        "a",
    );
}

#[test]
fn where_the_configuration_may_lead_to_crates_in_the_repository_everything_is_selected() {
    for (text, everything) in [
        ("[source.crates-io]\nreplace-with = \"own\"\n[source.own]\nlocal-registry = \"vend\"\n", true),
        ("[registries.own]\nindex = \"file:///x\"\n", true),
        ("[patch.crates-io]\na = { path = \"vend/a\" }\n", true),
        ("[build]\njobs = 1\n", false),
    ] {
        let files =
            [(".cargo/config.toml", text), ("a/Cargo.toml", "[package]\nname = \"a\"\n"), ("vend/index/1/a", "")];
        assert_eq!(selected(&files, "a").len() == files.len(), everything, "{text}");
    }
}
