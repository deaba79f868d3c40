//! One honest crate, changed in many ways: the whole program must not accept a single one. The README's table of what is
//! caught is made from this.

mod common;

use std::collections::BTreeMap;

use common::place::Place;
use common::raw::{Raw, extension, pax, seal, stream};
use common::root;
use common::workshop::{Cargo, Files, Item, Release, files};

const MANIFEST: &str = "[package]\nname = \"bait\"\nversion = \"1.0.0\"\nedition = \"2018\"\nlicense = \"MIT\"\n\
    description = \"An honest crate\"\nrepository = \"https://git.example/recrate/bait\"\nlinks = \"bait\"\n\
    \n[features]\nextra = []\n\n[dependencies]\nhelper = \"1\"\n\n[build-dependencies]\nhelper = \"1\"\n\
    \n[lints.rust]\nunsafe_code = \"forbid\"\n";

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

type Change = fn(&mut Raw);

/// What is changed, by what it is a change of: a name for the table, and the change.
const CHANGES: &[(&str, &[(&str, Change)])] = &[
    ("archive", ARCHIVE),
    ("tar headers", HEADERS),
    ("files", FILES),
    ("`Cargo.toml`", MANIFESTS),
    ("`Cargo.lock`", LOCKS),
    ("`.cargo_vcs_info.json`", VCS_INFO),
];

const ARCHIVE: &[(&str, Change)] = &[
    ("a second entry of the same path", |raw| {
        let mut again = raw.entry("src/lib.rs").clone();
        again.body = b"evil".to_vec();
        raw.entries.push(again);
    }),
    ("a second entry where the repository has the path in another case", |raw| {
        let mut again = raw.entry("src/case.rs").clone();
        again.body = b"evil".to_vec();
        raw.entries.push(again);
    }),
    ("a path in another case", |raw| {
        let mut again = raw.entry("src/lib.rs").clone();
        again.name("bait-1.0.0/src/LIB.rs");
        raw.entries.insert(8, again);
    }),
    ("another order", |raw| raw.entries.swap(4, 7)),
    ("a second gzip stream after a tar without an end", |raw| {
        raw.end.clear();
        let mut more = raw.clone();
        more.entries.truncate(1);
        more.entries[0].name("bait-1.0.0/evil.rs");
        more.end = vec![0; 1024];
        raw.after = more.write();
    }),
    ("an empty gzip stream after the other", |raw| raw.after = [&raw.gzip[..], &stream(b"")].concat()),
    ("bytes after the gzip stream", |raw| raw.after = b"evil".to_vec()),
    ("empty bytes after the gzip stream", |raw| raw.after = vec![0; 512]),
    ("a comment in the gzip header", |raw| {
        raw.gzip[3] |= 16;
        raw.gzip.extend_from_slice(b"evil\0");
    }),
    ("an extra field of 4 kB in the gzip header", |raw| {
        raw.gzip[3] |= 4;
        raw.gzip.splice(10..10, [&4096_u16.to_le_bytes()[..], &[b'x'; 4096]].concat());
    }),
    ("another file name in the gzip header", |raw| raw.gzip[10] = b'x'),
    ("no file name in the gzip header", |raw| {
        raw.gzip[3] = 0;
        raw.gzip.truncate(10);
    }),
    ("a time in the gzip header", |raw| raw.gzip[4] = 1),
    ("another system in the gzip header", |raw| raw.gzip[9] = 11),
    ("a mark for text in the gzip header", |raw| raw.gzip[3] |= 1),
    ("other flags for the speed in the gzip header", |raw| raw.gzip[8] = 4),
    ("bytes that pad a file", |raw| raw.entry("src/lib.rs").padding = b'x'),
    ("an entry after the end of the tar", |raw| {
        let mut more = raw.clone();
        more.entries.truncate(1);
        more.entries[0].name("bait-1.0.0/evil.rs");
        let mut tar = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&more.write()[..]), &mut tar).unwrap();
        raw.end.extend(tar);
    }),
    ("one empty block at the end of the tar", |raw| raw.end.truncate(512)),
    ("ten empty blocks at the end of the tar", |raw| raw.end.resize(5120, 0)),
    ("text after the end of the tar", |raw| raw.end.extend_from_slice(b"evil")),
    ("5 kB in a PAX comment", |raw| {
        raw.entry("src/lib.rs").before = extension(b'x', "pax", &pax("comment", &"x".repeat(5000)));
    }),
    ("a PAX path", |raw| {
        raw.entry("src/lib.rs").before = extension(b'x', "pax", &pax("path", "bait-1.0.0/src/lib.rs"));
    }),
    ("a PAX path after a GNU long name", |raw| {
        let long = extension(b'L', "././@LongLink", b"bait-1.0.0/src/lib.rs\0");
        let path = extension(b'x', "pax", &pax("path", "bait-1.0.0/evil.rs"));
        raw.entry("src/lib.rs").before = [long, path].concat();
    }),
    ("a GNU long name for a short path", |raw| {
        raw.entry("src/lib.rs").before = extension(b'L', "././@LongLink", b"bait-1.0.0/src/lib.rs\0");
    }),
    ("a GNU long name with bytes after its end", |raw| {
        raw.entry("src/lib.rs").before = extension(b'L', "././@LongLink", b"bait-1.0.0/src/lib.rs\0evil.rs");
    }),
    ("a global PAX header", |raw| raw.entries[0].before = extension(b'g', "pax", &pax("comment", "evil"))),
    ("a folder", |raw| {
        let mut folder = raw.entry("src/lib.rs").clone();
        folder.name("bait-1.0.0/src/");
        folder.body.clear();
        folder.header[156] = b'5';
        raw.entries.push(folder);
    }),
    ("a symbolic link", |raw| {
        let link = raw.entry("sub/notes.txt");
        link.header[156] = b'2';
        link.write(157, b"../../../etc/passwd");
        link.body.clear();
    }),
    ("a hard link", |raw| {
        let link = raw.entry("sub/notes.txt");
        link.header[156] = b'1';
        link.write(157, b"bait-1.0.0/src/lib.rs");
        link.body.clear();
    }),
    ("a path that leads out", |raw| raw.entry("sub/notes.txt").name("bait-1.0.0/../../.bashrc")),
    ("an absolute path", |raw| raw.entry("sub/notes.txt").name("/etc/passwd")),
    ("a path into another crate", |raw| raw.entry("sub/notes.txt").name("helper-1.0.0/src/lib.rs")),
];

const HEADERS: &[(&str, Change)] = &[
    ("a prefix in a GNU header", |raw| raw.entry("src/lib.rs").write(345, b"evil")),
    ("an access time in a GNU header", |raw| raw.entry("src/lib.rs").write(345, b"00000000001\0")),
    ("bytes after the end of a name", |raw| raw.entry("src/lib.rs").write(60, b"evil")),
    ("a link name in a plain file", |raw| raw.entry("src/lib.rs").write(157, b"evil")),
    ("control characters in a user name", |raw| raw.entry("src/lib.rs").write(265, b"\x1b[2J")),
    ("a group name", |raw| raw.entry("src/lib.rs").write(297, b"evil")),
    ("a setuid bit", |raw| raw.entry("src/lib.rs").write(100, b"0004644\0")),
    ("a setgid bit", |raw| raw.entry("src/lib.rs").write(100, b"0002644\0")),
    ("a sticky bit", |raw| raw.entry("src/lib.rs").write(100, b"0001644\0")),
    ("no permission at all", |raw| raw.entry("src/lib.rs").write(100, b"0000000\0")),
    ("a mode of a folder", |raw| raw.entry("src/lib.rs").write(100, b"0040644\0")),
    ("another executable bit", |raw| raw.entry("src/lib.rs").write(100, b"0000755\0")),
    ("a mode with spaces", |raw| raw.entry("src/lib.rs").write(100, b"   644 \0")),
    ("a device number", |raw| raw.entry("src/lib.rs").write(329, b"0000001\0")),
    ("an owner in base 256", |raw| raw.entry("src/lib.rs").write(108, &[0x80, 0, 0, 0, 0, 0, 0, 1])),
    ("an owner without leading zeros", |raw| raw.entry("src/lib.rs").write(108, b"0\0evil!\0")),
    ("an owner of a generated file", |raw| raw.entry("Cargo.toml").write(108, b"0000000\0")),
    ("no owner of a file from the source", |raw| raw.entry("src/lib.rs").write(108, &[0; 8])),
    ("a time with spaces", |raw| raw.entry("src/lib.rs").write(136, b"         00 ")),
    ("no time", |raw| raw.entry("src/lib.rs").write(136, &[0; 12])),
    ("another kind of plain file", |raw| raw.entry("src/lib.rs").header[156] = 0),
    ("POSIX's magic among GNU's", |raw| raw.entry("src/lib.rs").write(257, b"ustar\x0000")),
    ("no magic", |raw| raw.entry("src/lib.rs").write(257, &[0; 8])),
    ("a size in base 256", |raw| {
        let entry = raw.entry("src/lib.rs");
        entry.as_it_is = true;
        let size = u64::try_from(entry.body.len()).unwrap().to_be_bytes();
        entry.write(124, &[&[0x80, 0, 0, 0][..], &size].concat());
        seal(&mut entry.header);
    }),
    ("a checksum in another form", |raw| {
        let entry = raw.entry("src/lib.rs");
        entry.as_it_is = true;
        entry.header[124..136].copy_from_slice(format!("{:011o}\0", entry.body.len()).as_bytes());
        seal(&mut entry.header);
        entry.header[155] = b' ';
    }),
];

const FILES: &[(&str, Change)] = &[
    ("a line", |raw| raw.edit("src/lib.rs", "fn two() {}", "fn two() { evil() }")),
    ("white space", |raw| raw.edit("src/lib.rs", "fn two", "fn  two")),
    ("line endings", |raw| raw.edit("src/lib.rs", "\n", "\r\n")),
    ("the order of lines", |raw| {
        raw.edit("src/lib.rs", "fn one() {}\npub fn two() {}", "fn two() {}\npub fn one() {}")
    }),
    ("a character that is not seen", |raw| raw.edit("src/lib.rs", "fn two", "fn \u{200b}two")),
    ("a byte of a file that is no text", |raw| raw.entry("data.bin").body[1] ^= 1),
    ("an added file", |raw| raw.add("evil.rs", b"evil")),
    ("an added empty file", |raw| raw.add("src/empty.rs", b"")),
    ("an added build script of another package", |raw| raw.add("sub/build.rs", b"fn main() {}")),
    ("an added configuration of cargo", |raw| raw.add(".cargo/config.toml", b"[build]\nrustc = \"evil\"\n")),
    ("an added manifest below", |raw| raw.add("sub/Cargo.toml", b"[package]\n")),
    ("an added lock file below", |raw| raw.add("sub/Cargo.lock", b"version = 4\n")),
    ("a file left out", |raw| raw.entries.retain(|entry| entry.path() != "sub/notes.txt")),
    ("a renamed file", |raw| raw.entry("sub/notes.txt").name("bait-1.0.0/sub/other.txt")),
    ("two files with each other's content", |raw| {
        let (one, two) = (raw.entry("src/lib.rs").body.clone(), raw.entry("src/main.rs").body.clone());
        raw.entry("src/lib.rs").body = two;
        raw.entry("src/main.rs").body = one;
    }),
    ("the original manifest", |raw| raw.append("Cargo.toml.orig", "\n[dependencies.evil]\nversion = \"1\"\n")),
];

const MANIFESTS: &[(&str, Change)] = &[
    ("an added dependency", |raw| raw.append("Cargo.toml", "\n[dependencies.evil]\nversion = \"1\"\n")),
    ("a dependency left out", |raw| raw.edit("Cargo.toml", "[dependencies.helper]\nversion = \"1\"\n", "")),
    ("another version of a dependency", |raw| raw.edit("Cargo.toml", "version = \"1\"\n", "version = \"2\"\n")),
    ("a dependency under another name", |raw| {
        raw.edit("Cargo.toml", "[dependencies.helper]\n", "[dependencies.helper]\npackage = \"evil\"\n");
    }),
    ("a dependency from another registry", |raw| {
        let registry = "[dependencies.helper]\nregistry-index = \"https://evil.example/index\"\n";
        raw.edit("Cargo.toml", "[dependencies.helper]\n", registry);
    }),
    ("a dependency of a platform", |raw| {
        raw.append("Cargo.toml", "\n[target.'cfg(unix)'.dependencies.evil]\nversion = \"1\"\n");
    }),
    ("`build_dependencies` beside `build-dependencies`", |raw| {
        raw.append("Cargo.toml", "\n[build_dependencies.evil]\nversion = \"1\"\n");
    }),
    ("both of a platform", |raw| {
        raw.append(
            "Cargo.toml",
            "\n[target.\"cfg(unix)\".build_dependencies.a]\nversion = \"1\"\n\
             [target.\"cfg(unix)\".build-dependencies.b]\nversion = \"1\"\n",
        );
    }),
    ("both spellings of `proc-macro`", |raw| {
        raw.edit("Cargo.toml", "[lib]\n", "[lib]\nproc-macro = true\nproc_macro = false\n");
    }),
    ("both spellings of `crate-type`", |raw| {
        raw.edit("Cargo.toml", "[lib]\n", "[lib]\ncrate-type = [\"dylib\"]\ncrate_type = [\"lib\"]\n");
    }),
    ("both spellings of `default-features`", |raw| {
        let both = "[dependencies.helper]\ndefault-features = false\ndefault_features = true\n";
        raw.edit("Cargo.toml", "[dependencies.helper]\n", both);
    }),
    ("`[patch]` with an address", |raw| {
        raw.append("Cargo.toml", "\n[patch.crates-io.helper]\ngit = \"https://evil.example/helper\"\n");
    }),
    ("`[replace]` with an address", |raw| {
        raw.append("Cargo.toml", "\n[replace.\"helper:1.0.0\"]\ngit = \"https://evil.example/helper\"\n");
    }),
    ("a binary's path to another file of the package", |raw| {
        raw.edit("Cargo.toml", "path = \"src/bin/tool.rs\"", "path = \"src/case.rs\"");
    }),
    ("the library's path to another file", |raw| {
        raw.edit("Cargo.toml", "path = \"src/lib.rs\"", "path = \"src/case.rs\"");
    }),
    ("an added binary", |raw| {
        raw.append("Cargo.toml", "\n[[bin]]\nname = \"evil\"\npath = \"src/case.rs\"\n");
    }),
    ("a binary left out", |raw| {
        raw.edit("Cargo.toml", "[[bin]]\nname = \"tool\"\npath = \"src/bin/tool.rs\"\n", "");
    }),
    ("targets that cargo finds by itself", |raw| raw.edit("Cargo.toml", "autobins = false", "autobins = true")),
    ("`links` left out", |raw| raw.edit("Cargo.toml", "links = \"bait\"\n", "")),
    ("a lint left out", |raw| raw.edit("Cargo.toml", "[lints.rust]\nunsafe_code = \"forbid\"\n", "")),
    ("another level of a lint", |raw| raw.edit("Cargo.toml", "\"forbid\"", "\"allow\"")),
    ("another resolver", |raw| {
        raw.edit("Cargo.toml", "edition = \"2018\"\n", "edition = \"2018\"\nresolver = \"2\"\n")
    }),
    ("another edition", |raw| raw.edit("Cargo.toml", "edition = \"2018\"", "edition = \"2021\"")),
    ("another build script", |raw| raw.edit("Cargo.toml", "build = \"build.rs\"", "build = \"src/case.rs\"")),
    ("no build script", |raw| raw.edit("Cargo.toml", "build = \"build.rs\"", "build = false")),
    ("another default feature", |raw| raw.edit("Cargo.toml", "[features]\n", "[features]\ndefault = [\"extra\"]\n")),
    ("a profile", |raw| raw.append("Cargo.toml", "\n[profile.release]\noverflow-checks = false\n")),
    ("a workspace", |raw| raw.append("Cargo.toml", "\n[workspace]\n")),
    ("a key that cargo does not know", |raw| raw.append("Cargo.toml", "\n[unheard-of]\nkey = 1\n")),
    ("another repository", |raw| raw.edit("Cargo.toml", "git.example/recrate/bait", "git.example/recrate/evil")),
    ("no TOML at all", |raw| raw.append("Cargo.toml", "\n= evil")),
    ("a comment", |raw| raw.append("Cargo.toml", "\n# evil\n")),
];

const LOCKS: &[(&str, Change)] = &[
    ("another registry", |raw| raw.edit("Cargo.lock", REGISTRY, "registry+https://evil.example/index")),
    ("a repository in the registry's stead", |raw| {
        raw.edit("Cargo.lock", REGISTRY, "git+https://evil.example/helper#0123456789012345678901234567890123456789");
    }),
    ("a replacement", |raw| raw.edit("Cargo.lock", "checksum = ", "replace = \"evil 1.0.0\"\nchecksum = ")),
    ("another checksum", |raw| raw.edit("Cargo.lock", "checksum = \"", "checksum = \"0000")),
    ("no checksum", |raw| raw.edit("Cargo.lock", "checksum = ", "# checksum = ")),
    ("a version that the registry does not have", |raw| {
        raw.edit("Cargo.lock", "name = \"helper\"\nversion = \"1.0.1\"", "name = \"helper\"\nversion = \"9.9.9\"");
    }),
    ("a dependency left out", |raw| raw.edit("Cargo.lock", "dependencies = [\n \"helper\",\n]\n", "")),
    ("a package that nothing needs", |raw| {
        raw.append("Cargo.lock", "\n[[package]]\nname = \"evil\"\nversion = \"1.0.0\"\n");
    }),
    ("a key that cargo does not know", |raw| raw.append("Cargo.lock", "\n[metadata]\nevil = \"1\"\n")),
];

const VCS_INFO: &[(&str, Change)] = &[
    ("a commit that nobody has", |raw| {
        let at = String::from_utf8_lossy(&raw.entry(".cargo_vcs_info.json").body).find("sha1\": \"").unwrap() + 8;
        raw.entry(".cargo_vcs_info.json").body[at..at + 40].copy_from_slice(&[b'0'; 40]);
    }),
    ("another folder", |raw| raw.edit(".cargo_vcs_info.json", "\"path_in_vcs\": \"\"", "\"path_in_vcs\": \"sub\"")),
    ("uncommitted changes that were none", |raw| {
        raw.edit(".cargo_vcs_info.json", "\"sha1\"", "\"dirty\": true,\n    \"sha1\"");
    }),
    ("another key", |raw| raw.edit(".cargo_vcs_info.json", "\"path_in_vcs\"", "\"evil\": 1,\n  \"path_in_vcs\"")),
    ("left out", |raw| raw.entries.retain(|entry| entry.path() != ".cargo_vcs_info.json")),
    ("no JSON", |raw| raw.append(".cargo_vcs_info.json", "evil")),
];

/// A registry, a repository and an honest crate `bait 1.0.0`.
struct Trap {
    place: Place,
    honest: Vec<u8>,
}

impl Trap {
    fn new() -> Self {
        let place = Place::new();
        for version in ["1.0.0", "1.0.1"] {
            let helper = Release { name: "helper", version, published: "2025-01-01T00:00:00Z", requires: &[] };
            place.registry.publish(&helper, version.as_bytes());
        }
        let repository = place.repository("bait");
        let mut tree = files([
            ("Cargo.toml", MANIFEST),
            ("build.rs", "fn main() {}\n"),
            ("src/lib.rs", "//! Honest.\npub fn one() {}\npub fn two() {}\n"),
            ("src/main.rs", "fn main() {}\n"),
            ("src/bin/tool.rs", "fn main() {}\n"),
            ("src/CASE.rs", "// One.\n"),
            ("src/case.rs", "// Another.\n"),
            ("sub/notes.txt", "notes\n"),
            (".gitignore", "/target\n/Cargo.lock\n"),
        ]);
        tree.insert("data.bin".to_owned(), Item::File(vec![0, 0xff, 1, 2]));
        tree.insert("run.sh".to_owned(), Item::Program(b"#!/bin/sh\n".to_vec()));
        repository.commit(&tree, "bait 1.0.0");
        let cargo = Cargo::find(85).expect("cargo 1.85 is imported");
        let honest = cargo.package(&repository, "", &place.registry.path, &Files::new());
        Self { place, honest }
    }

    /// What is said of the crate once it is published with these bytes.
    fn said(&self, bytes: &[u8]) -> serde_json::Value {
        let requires = &[("helper", "^1")];
        let release = Release { name: "bait", version: "1.0.0", published: "2025-03-01T12:00:00Z", requires };
        self.place.registry.publish(&release, bytes);
        self.place.verify("bait@1.0.0")
    }
}

/// A category with what was changed, by verdict.
type Caught = Vec<(&'static str, BTreeMap<String, Vec<&'static str>>)>;

/// Makes every change of a share of them and asks what is said of it.
fn caught(share: usize, of: usize) -> Vec<(usize, usize, String)> {
    let trap = Trap::new();
    let honest = trap.said(&trap.honest);
    assert_eq!(honest["verdict"], "reproduced", "{honest:#}");
    assert_eq!(Raw::read(&trap.honest).write(), trap.honest, "put together again it is the same");
    let all = CHANGES.iter().enumerate().flat_map(|(at, (_, changes))| (0..changes.len()).map(move |one| (at, one)));
    let mut found = Vec::new();
    for (at, one) in all.skip(share).step_by(of) {
        let (what, change) = CHANGES[at].1[one];
        let mut raw = Raw::read(&trap.honest);
        change(&mut raw);
        let bytes = raw.write();
        assert_ne!(bytes, trap.honest, "{what} changes nothing");
        let said = trap.said(&bytes);
        assert_ne!(said["decision"]["kind"], "accepted", "{}: {what} was accepted: {said:#}", CHANGES[at].0);
        let contents = said["findings"]["contents"]["kind"].as_str().unwrap();
        let equal = ["bit-for-bit", "same-contents", "compressor-unknown"].contains(&contents);
        assert!(!equal, "{}: {what} was called {contents}: {said:#}", CHANGES[at].0);
        found.push((at, one, said["verdict"].as_str().unwrap().replace('-', " ")));
    }
    found
}

#[test]
fn a_lock_file_that_is_left_out_is_an_option_of_cargos_and_a_condition() {
    let trap = Trap::new();
    let mut raw = Raw::read(&trap.honest);
    raw.entries.retain(|entry| entry.path() != "Cargo.lock");
    let said = trap.said(&raw.write());
    assert_eq!(said["verdict"], "same-contents", "{said:#}");
    assert_eq!(common::conditions(&said), ["exclude-lockfile"], "{said:#}");
}

#[test]
fn no_line_of_output_begins_with_a_strangers_text_or_steers_a_terminal() {
    const HOSTILE: [&str; 3] =
        ["::error::owned", "\u{1b}[2J\u{202e}\u{200b}\n::error::owned", "##[error]owned\r\n##vso[task.complete]"];
    let trap = Trap::new();
    let mut raw = Raw::read(&trap.honest);
    for text in HOSTILE {
        raw.add(text, text.as_bytes());
        raw.append("src/lib.rs", &format!("\n{text}\n  {text}"));
        raw.append("Cargo.toml", &format!("\n[{:?}]\n", text.escape_unicode().to_string()));
    }
    raw.append("Cargo.toml", "\n[\"::error::owned\\n::error::owned\"]\nkey = \"\\u202e\"\n");
    let said = trap.said(&raw.write());
    assert_eq!(said["verdict"], "source-differs", "{said:#}");
    for arguments in [
        &["verify", "bait@1.0.0", "--verbose"][..],
        &["verify", "bait@1.0.0"],
        &["diff", "bait@1.0.0"],
        &["explain", "bait@1.0.0"],
    ] {
        let mut program = common::recrate();
        program.current_dir(trap.place.folder.path()).args(arguments).args(["--toolchains", "imported"]);
        let done = program.output().unwrap();
        let text = [done.stdout, done.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert!(!text.is_empty(), "{arguments:?}");
        for line in text.lines() {
            assert!(!line.trim_start().starts_with("::"), "{arguments:?}: {line}");
            assert!(!line.contains("##[") && !line.contains("##vso["), "{arguments:?}: {line}");
            assert!(!line.contains(['\u{1b}', '\u{202e}', '\u{200b}', '\r']), "{arguments:?}: {line:?}");
        }
    }
}

#[test]
fn nothing_that_was_changed_is_accepted_and_the_readme_says_what_was() {
    let shares = 2;
    let mut found: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..shares).map(|share| scope.spawn(move || caught(share, shares))).collect();
        all.into_iter().flat_map(|share| share.join().unwrap()).collect()
    });
    found.sort();
    assert!(found.len() >= 60);
    let mut table: Caught = CHANGES.iter().map(|(name, _)| (*name, BTreeMap::new())).collect();
    for (at, one, verdict) in found {
        table[at].1.entry(verdict).or_default().push(CHANGES[at].1[one].0);
    }
    let mut text = "| changed | verdict | what |\n|---|---|---|\n".to_owned();
    for (name, verdicts) in table {
        for (verdict, what) in verdicts {
            text += &format!("| {name} | {verdict} ({}) | {} |\n", what.len(), what.join("; "));
        }
    }
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.contains(&text), "the README does not have this table:\n{text}");
}
