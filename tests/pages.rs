//! Pages: what strangers wrote is text in them and nothing else, and whatever they are made of, they are whole.
//!
//! With RECRATE_PAGES set to a folder, the pages are left there: `scripts/test-pages` opens them in a browser.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use recrate::model::digest::Sha256;
use recrate::model::package::PackageKey;
use recrate::stages::diff::lines::{Body, Hunk, Line, Side};
use recrate::stages::diff::{Diff, FileDiff};
use recrate::stages::history::{Found, Run, RunId, Word};
use recrate::stages::pages::report::{View, of_package, of_report};
use recrate::stages::pages::site::{Options, Site, is_own, site};
use recrate::stages::report::Report;
use serde_json::{Value, json};

/// Ends attributes, elements, scripts and comments, and has what can't be seen.
const HOSTILE: &str =
    "\"'></script></style><!--<hostile onload=alert(1)>&amp;${1}\u{202e}\u{1b}[31m\u{0}javascript:alert(1)";

/// A report with all kinds of findings.
fn report() -> Value {
    let package = |name: &str, verdict: &str, decision: Value, findings: Value| {
        let attempt = json!({
            "toolchain": "1.85.0", "inRange": true, "indexMode": "at-publication", "workspace": "full", "verdict": verdict,
            "drv": format!("/nix/store/00000000000000000000000000000000-rebuild-{name}-1.0.0.drv"),
            "out": format!("/nix/store/00000000000000000000000000000000-rebuild-{name}-1.0.0"),
        });
        let mut all = json!({
            "checksum": {"kind": "matches"}, "archive": {"kind": "well-formed", "alike": [["A", "a"]]},
            "origin": {
                "namedBy": "crate", "repository": "https://github.com/owner/name", "path": "folder",
                "commit": "023f10376dbfdda4dfab2d775c5af61a4a29a803", "contradictions": [],
            },
            "reach": {
                "kind": "reached", "branch": "main", "tag": "v1", "claimedByPlan": false,
                "asked": {"source": "the repository", "date": "2026-11-22"},
            },
            "rebuild": {"kind": "done"}, "contents": {"kind": "bit-for-bit"}, "lockfile": {"kind": "not-an-input"},
            "conditions": [], "flags": {"dirty": false},
        });
        for (finding, value) in findings.as_object().unwrap() {
            all[finding] = value.clone();
        }
        json!({
            "name": name, "version": "1.0.0", "registry": "default", "checksum": "8c".repeat(32), "findings": all,
            "cargoRange": {"first": 85, "last": 86}, "evidence": ["a clue"], "best": 0, "attempts": [attempt],
            "verdict": verdict, "decision": decision, "line": 3,
        })
    };
    let rejected = json!({"kind": "rejected", "reasons": ["a reason"]});
    let undetermined = json!({"kind": "undetermined", "reasons": ["a reason"]});
    let waived = json!({
        "kind": "waived", "undetermined": false, "reasons": ["a reason"],
        "by": [{"rule": "https://github.com/owner", "reason": "why", "who": "who", "expires": "2027-01-01", "link": "a link"}],
    });
    let differences = json!([
        {"path": "src/lib.rs", "kind": {"lines": {"published": 2, "rebuilt": 1}}, "weight": "source", "details": ["a detail"]},
        {"path": "Cargo.toml", "kind": "meaning", "weight": "source"},
    ]);
    let contradictions = json!({
        "namedBy": {"tag": "v1.0.0"}, "repository": "https://git.example/owner/name", "path": "",
        "commit": "023f10376dbfdda4dfab2d775c5af61a4a29a803",
        "contradictions": [
            {"kind": "tag", "tag": "v1.0.0", "commit": "123f10376dbfdda4dfab2d775c5af61a4a29a803"},
            {"kind": "version", "version": "0.9.0"},
            {"kind": "repository", "named": "https://github.com/other/name"},
        ],
    });
    let conditions = json!([{"kind": "windows-checkout", "marks": ["line endings"]}, {"kind": "workspace-pruned"}]);
    let more_conditions = json!([
        {"kind": "renamed-repository", "from": "https://github.com/old/name"},
        {"kind": "published-lockfile", "binaries": true},
    ]);
    let mut updated = package("updated", "reproduced", json!({"kind": "accepted"}), json!({"conditions": conditions}));
    let place = json!({"repository": "https://github.com/owner/name", "commit": "023f10376dbfdda4dfab2d775c5af61a4a29a803", "path": "x"});
    updated["update"] = json!({
        "from": "0.9.0",
        "change": {"kind": "known", "from": place, "to": place, "files": [{"path": "src/lib.rs", "change": "modified", "lines": [1, 2]}]},
    });
    json!({
        "schema": 2, "recrate": "0.1.0", "policy": "default", "requirements": {},
        "decisions": {"accepted": 2, "rejected": 3, "undetermined": 2, "waived": 1},
        "verdicts": {
            "checksum-mismatch": 1, "malformed-archive": 1, "source-differs": 1, "contradicted-origin": 1, "packaging-failed": 1,
            "unverifiable": 1, "error": 1, "reproduced": 2,
        },
        "packages": [
            package("mismatch", "checksum-mismatch", rejected.clone(), json!({"checksum": {"kind": "mismatch", "reason": "two hashes"}})),
            package("malformed", "malformed-archive", rejected.clone(), json!({"archive": {"kind": "malformed", "reason": "two roots"}})),
            package("differs", "source-differs", waived, json!({
                "contents": {"kind": "source-differs", "differences": differences}, "flags": {"dirty": true}, "conditions": more_conditions,
                "lockfile": {"kind": "faults", "faults": ["a fault"]},
            })),
            package("contradicted", "contradicted-origin", rejected, json!({"origin": contradictions})),
            package("refused", "packaging-failed", undetermined.clone(), json!({
                "rebuild": {"kind": "refused", "reason": "error: no\nand more"}, "contents": {"kind": "not-compared"},
            })),
            package("unverifiable", "unverifiable", undetermined.clone(), json!({
                "rebuild": {"kind": "impossible", "missing": "commit", "reason": "it is gone"}, "contents": {"kind": "not-compared"},
                "lockfile": {"kind": "undated", "versions": ["x@1.0.0"]},
            })),
            package("broken", "error", undetermined, json!({
                "rebuild": {"kind": "error", "reason": "a disk"}, "contents": {"kind": "not-compared"},
                "reach": {"kind": "unknown", "reason": "a server", "asked": null, "claimedByPlan": false},
            })),
            package("reproduced", "reproduced", json!({"kind": "accepted"}), json!({
                "lockfile": {"kind": "consistent", "yanked": ["y@1.0.0"]},
            })),
            updated,
        ],
        "skipped": [
            {"name": "own", "version": "0.1.0", "source": null, "checksum": null, "kind": "path"},
            {"name": "odd", "version": "0.1.0", "source": "a source", "checksum": null, "kind": {"unsupported": "a registry"}},
        ],
        "reviewed": [{"subject": {"kind": "rule", "scope": "https://github.com/owner"}, "state": "unused", "detail": "a detail", "expires": null}],
        "changedSince": {"since": "main", "unchanged": 3},
        "notices": ["a notice"],
    })
}

/// The report with something hostile in each field that takes it; how many do.
fn hostile() -> (Report, usize) {
    let mut value = report();
    let mut paths = Vec::new();
    strings(&value, String::new(), &mut paths);
    let mut taken = 0;
    for path in paths {
        let before = value.pointer(&path).unwrap().clone();
        *value.pointer_mut(&path).unwrap() = HOSTILE.into();
        if serde_json::from_value::<Report>(value.clone()).is_ok() {
            taken += 1;
        } else {
            *value.pointer_mut(&path).unwrap() = before;
        }
    }
    (serde_json::from_value(value).unwrap(), taken)
}

fn strings(value: &Value, at: String, paths: &mut Vec<String>) {
    match value {
        Value::String(_) => paths.push(at),
        Value::Array(items) => items.iter().enumerate().for_each(|(n, item)| strings(item, format!("{at}/{n}"), paths)),
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| strings(field, format!("{at}/{name}"), paths));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn diff(text: &str, lines: usize) -> Diff {
    let line = |n: usize| Line {
        side: [Side::Both, Side::Before, Side::After][n % 3],
        // What makes diffs makes lines safe to show.
        text: recrate::model::foreign::Foreign::from(text).to_string(),
    };
    let hunk =
        Hunk { header: "@@ -1,3 +1,3 @@".to_owned(), before: 1, after: 1, lines: (0..lines).map(line).collect() };
    let body = Body::Lines { hunks: vec![hunk], cut_after: Some(lines) };
    let file = FileDiff { path: text.into(), in_git: true, in_published: false, body };
    Diff { files: vec![file], same_files: false, container: vec!["the tar is the same".to_owned()] }
}

fn page(report: &Report, diffs: &BTreeMap<PackageKey, Diff>) -> String {
    of_report(report, View { out: Some(Path::new("recrate.out")), day: Some("2026-11-22".parse().unwrap()), diffs })
}

/// What runs found: the report's packages, twice; in the second run the first of them is another verdict's.
fn found(report: &Report) -> Vec<Found> {
    let mut found = Vec::new();
    for entry in &report.packages {
        for id in [1, 2] {
            let mut record = entry.record.clone();
            if id == 1 && entry.record.key.name.as_str() == "contradicted" {
                record.findings.origin.as_mut().unwrap().contradictions.clear();
            }
            let run = Run {
                id: RunId(id),
                finished: format!("2026-11-{}T10:00:00Z", 20 + id).parse().unwrap(),
                recrate: report.recrate.as_str().into(),
                programs: Sha256::of(b"programs"),
                subject: HOSTILE.into(),
                plan: Sha256::of(b"plan"),
                outcome: HOSTILE.into(),
                word: Word::User,
            };
            found.push(Found { run, record: Arc::new(record), decision: entry.decision.name() });
        }
    }
    found
}

fn assert_only_own_markup(name: &str, page: &str) {
    assert!(!page.contains("<hostile"), "{name} has a stranger's element: {page}");
    assert!(!page.contains("<!--"), "{name} has a stranger's comment");
    for unseen in ['\u{202e}', '\u{1b}', '\0'] {
        let around = page
            .find(unseen)
            .map(|at| page[..at].chars().rev().take(400).collect::<String>().chars().rev().collect::<String>());
        assert!(around.is_none(), "{name} has {unseen:?} after {}", around.unwrap());
    }
    // In attributes a quotation mark would end the value.
    assert!(!page.contains("\"'>"), "{name} lets an attribute end: {page}");
    for address in page.split("href=\"").skip(1) {
        let address = address.split('"').next().unwrap();
        assert!(!address.to_ascii_lowercase().starts_with("javascript:"), "{name}: {address}");
    }
}

#[test]
fn what_strangers_wrote_is_text_wherever_it_stands() {
    let (report, taken) = hostile();
    assert!(taken > 60, "only {taken} fields take what strangers write");
    let diffs: BTreeMap<_, _> =
        report.packages.iter().map(|entry| (entry.record.key.clone(), diff(HOSTILE, 9))).collect();
    let page = page(&report, &diffs);
    assert_only_own_markup("the report", &page);
    assert!(page.matches("&lt;hostile onload=alert(1)&gt;").count() > 60, "what they wrote is shown");
    assert_eq!((page.matches("<script>").count(), page.matches("<style>").count()), (1, 1));
    for entry in &report.packages {
        assert_only_own_markup("a verdict", &of_package(entry, &report, diffs.values().next()));
    }
    let Site { files, .. } = site(found(&report), options(0, "2026-11-22"));
    for (name, text) in &files {
        let is_markup = [".html", ".svg", ".atom"].iter().any(|ending| name.ends_with(ending));
        if is_markup {
            assert_only_own_markup(name, text);
        }
    }
    leave("hostile", "report.html", &page);
    files.iter().for_each(|(name, text)| leave("hostile", &format!("site/{name}"), text));
}

#[test]
fn a_site_has_every_crate_under_its_address_and_tells_what_changed() {
    let report: Report = serde_json::from_value(report()).unwrap();
    let Site { files, held_back, crates, .. } = site(found(&report), options(0, "2026-11-22"));
    // What a lock file has another checksum for than the registry says nothing about the crate.
    assert_eq!((crates, held_back), (report.packages.len() - 1, 0));
    let sign = |path: &str| -> Value { serde_json::from_str(&files[path]).unwrap() };
    for entry in report.packages.iter().filter(|entry| entry.record.key.name.as_str() != "mismatch") {
        let path = format!("{}/{}", entry.record.key.name, entry.record.key.version);
        let badge = format!("{}/badge/{}", entry.record.key.name, entry.record.key.version);
        for file in [format!("{path}.html"), format!("{path}.json"), format!("{badge}.json"), format!("{badge}.svg")] {
            assert!(files.contains_key(&file), "{file}");
        }
        assert!(files["index.html"].contains(&format!("href=\"{path}.html\"")), "{path}");
    }
    let conforms = schema("docs/sign.schema.json");
    for entry in report.packages.iter().filter(|entry| entry.record.key.name.as_str() != "mismatch") {
        conforms(&sign(&format!("{}/{}.json", entry.record.key.name, entry.record.key.version)));
    }
    // What the documentation shows is such a sign.
    let documented = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/SIGN.md")).unwrap();
    let example = documented.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    conforms(&serde_json::from_str(example).unwrap());
    let words = |name: &str| {
        (
            sign(&format!("{name}/1.0.0.json"))["sign"].clone(),
            sign(&format!("{name}/badge/1.0.0.json"))["message"].clone(),
        )
    };
    assert_eq!(words("reproduced"), (json!("bit-for-bit"), json!("bit for bit")));
    assert_eq!(words("updated"), (json!("bit-for-bit"), json!("bit for bit, with conditions")));
    assert_eq!(words("differs"), (json!("differs"), json!("differs")));
    for name in ["contradicted", "refused", "unverifiable", "broken"] {
        assert_eq!(words(name).0, json!("unverifiable"), "{name}");
    }
    assert_eq!(sign("reproduced/index.json")["versions"], json!({"1.0.0": "bit-for-bit"}));
    let feed = &files["feed.atom"];
    assert_eq!(feed.matches("<entry>").count(), 1, "{feed}");
    assert!(
        feed.contains("<title>contradicted 1.0.0: contradicted origin, matched by tag only before</title>"),
        "{feed}"
    );
    assert!(feed.contains("Why: the repository changed."), "{feed}");
    assert!(files["_headers"].contains("Access-Control-Allow-Origin: *"));
    leave("plain", "report.html", &page(&report, &BTreeMap::new()));
    files.iter().for_each(|(name, text)| leave("plain", &format!("site/{name}"), text));
}

#[test]
fn a_crate_that_differs_is_held_back_for_the_time_that_its_maintainer_is_given() {
    let report: Report = serde_json::from_value(report()).unwrap();
    for (today, days, is_shown) in
        [("2026-11-22", 30, false), ("2026-12-20", 30, false), ("2026-12-22", 30, true), ("2026-11-22", 0, true)]
    {
        let Site { files, held_back, .. } = site(found(&report), options(days, today));
        assert_eq!(files.contains_key("differs/1.0.0.json"), is_shown, "{today}, {days} days");
        assert_eq!(held_back, if is_shown { 0 } else { 2 }, "{today}, {days} days");
        let is_named = files.values().any(|text| text.contains("differs 1.0.0") || text.contains("differs/1.0.0"));
        assert_eq!(is_named, is_shown, "{today}, {days} days");
    }
}

#[test]
fn what_the_author_of_a_plan_says_gets_no_good_sign() {
    let mut report: Report = serde_json::from_value(report()).unwrap();
    report.packages.retain(|entry| entry.record.key.name.as_str() == "reproduced");
    report.packages[0].record.findings.reach.claimed_by_plan = true;
    let Site { files, .. } = site(found(&report), options(0, "2026-11-22"));
    let sign: Value = serde_json::from_str(&files["reproduced/1.0.0.json"]).unwrap();
    assert_eq!((&sign["verdict"], &sign["sign"]), (&json!("reproduced"), &json!("unverifiable")));
}

fn options(notice_days: u32, today: &str) -> Options {
    Options { by_projects: false, notice_days, today: today.parse().unwrap() }
}

/// A run's finding: by the name of a package of the report, and with a change.
type Finding<'a> = (&'a str, &'a dyn Fn(&mut Found));

/// What runs found of one crate, each by the name of a package of the report, and the sign that comes of it; none where it has none.
fn sign_after(runs: &[Finding<'_>]) -> Option<String> {
    let report: Report = serde_json::from_value(report()).unwrap();
    let runs = runs.iter().zip(1..).map(|((package, change), id)| {
        let mut one = found(&report).into_iter().find(|found| found.record.key.name.as_str() == *package).unwrap();
        let mut record = (*one.record).clone();
        record.key.name = "one".parse().unwrap();
        (one.record, one.run.id) = (Arc::new(record), RunId(id));
        one.run.finished = format!("2026-11-22T10:00:0{id}Z").parse().unwrap();
        change(&mut one);
        one
    });
    let Site { files, .. } = site(runs.collect(), options(0, "2026-11-22"));
    let sign: Value = serde_json::from_str(files.get("one/1.0.0.json")?).unwrap();
    Some(sign["sign"].as_str().unwrap().to_owned())
}

#[test]
fn the_last_word_counts_and_no_older_yes_comes_back() {
    let as_is = &|_: &mut Found| {};
    let other_bytes = &|found: &mut Found| {
        Arc::make_mut(&mut found.record).checksum = Some(Sha256::of(b"other"));
    };
    let no_bytes = &|found: &mut Found| Arc::make_mut(&mut found.record).checksum = None;
    let by = |word| move |found: &mut Found| found.run.word = word;
    let after = |runs: &[Finding<'_>]| sign_after(runs);
    assert_eq!(after(&[("reproduced", as_is)]).as_deref(), Some("bit-for-bit"));
    assert_eq!(after(&[("reproduced", as_is), ("differs", as_is)]).as_deref(), Some("differs"));
    assert_eq!(after(&[("reproduced", as_is), ("unverifiable", as_is)]).as_deref(), Some("unverifiable"));
    // That recrate could not do its work takes nothing back, but of other bytes nothing is known.
    assert_eq!(after(&[("reproduced", as_is), ("broken", as_is)]).as_deref(), Some("bit-for-bit"));
    assert_eq!(after(&[("reproduced", as_is), ("broken", other_bytes)]).as_deref(), Some("unverifiable"));
    assert_eq!(
        after(&[("reproduced", as_is), ("differs", other_bytes), ("broken", as_is)]).as_deref(),
        Some("unverifiable"),
        "an old yes does not come back by a run that fails"
    );
    assert_eq!(after(&[("reproduced", no_bytes)]).as_deref(), Some("unverifiable"));
    // Whose word it was.
    assert_eq!(after(&[("reproduced", &by(Word::Project))]), None);
    assert_eq!(after(&[("differs", &by(Word::Plan))]), None);
    assert_eq!(after(&[("reproduced", as_is), ("differs", &by(Word::Plan))]).as_deref(), Some("bit-for-bit"));
    // What was asked long before is no news.
    let late = &|found: &mut Found| found.run.finished = "2026-11-25T10:00:00Z".parse().unwrap();
    assert_eq!(after(&[("reproduced", late)]).as_deref(), Some("unverifiable"));
}

#[test]
fn crates_of_the_same_name_and_odd_versions_share_no_file() {
    let report: Report = serde_json::from_value(report()).unwrap();
    let mut all = Vec::new();
    let addresses = ["sparse+https://one.example/index/", "sparse+https://two.example/index/"];
    let mut add = |package: &str, registry: Option<&str>, version: &str| {
        let mut one = found(&report).into_iter().find(|found| found.record.key.name.as_str() == package).unwrap();
        let record = Arc::make_mut(&mut one.record);
        record.key.name = "same".parse().unwrap();
        record.key.version = version.parse().unwrap();
        if let Some(address) = registry {
            record.key.registry = serde_json::from_value(address.into()).unwrap();
        }
        all.push(one);
    };
    add("reproduced", None, "1.0.0-a");
    add("differs", None, "1.0.0-a.badge");
    add("reproduced", None, "1.0.0-a.json");
    add("differs", Some(addresses[0]), "1.0.0-a");
    add("reproduced", Some(addresses[1]), "1.0.0-a");
    add("reproduced", None, &format!("1.0.0-{}", "a".repeat(250)));
    // Registries that lock files name are not the user's word.
    assert_eq!(site(all.clone(), options(0, "2026-11-22")).crates, 3);
    let with_others = Options { by_projects: true, ..options(0, "2026-11-22") };
    let Site { files, crates, too_long, .. } = site(all, with_others);
    assert_eq!((crates, too_long), (5, 1));
    assert!(files.keys().all(|name| name == "site.json" || is_own(name)), "{:?}", files.keys());
    for foreign in [
        ".git/config",
        "CNAME",
        "src/main.rs",
        "index.html/",
        "_headers/.",
        "itoa",
        "../x/1.0.0.html",
        "a/b/1.0.0.html",
        "a//1.0.0.html",
    ] {
        assert!(!is_own(foreign), "{foreign}");
    }
    let signs: Vec<Value> = files
        .iter()
        .filter(|(name, _)| name.ends_with(".json") && !name.contains("badge/") && name.contains("/1."))
        .map(|(_, text)| serde_json::from_str(text).unwrap())
        .collect();
    assert_eq!(signs.len(), 5, "{:?}", files.keys());
    for sign in signs {
        let is_good =
            sign["registry"] == "default" && sign["version"] != "1.0.0-a.badge" || sign["registry"] == addresses[1];
        assert_eq!(sign["sign"], if is_good { "bit-for-bit" } else { "differs" }, "{sign}");
    }
}

#[test]
fn many_packages_make_a_page_that_is_not_too_large() {
    let mut value = report();
    let packages = value["packages"].as_array().unwrap().clone();
    let many = (0..2_000).map(|n| {
        let mut package = packages[n % packages.len()].clone();
        package["name"] = format!("{}-{n}", package["name"].as_str().unwrap()).into();
        package
    });
    value["packages"] = many.collect();
    let report: Report = serde_json::from_value(value).unwrap();
    let differ = report.packages.iter().filter(|entry| entry.record.key.name.as_str().starts_with("differs"));
    let diffs: BTreeMap<_, _> = differ.map(|entry| (entry.record.key.clone(), diff("let x = 1;", 100))).collect();
    let page = page(&report, &diffs);
    assert!(page.len() < 12 << 20, "{} bytes", page.len());
    leave("many", "report.html", &page);
}

/// What asserts that JSON is as a schema of the project says.
fn schema(path: &str) -> impl Fn(&Value) {
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.enable_format_assertions();
    let schema = compiler.compile(&format!("{}/{path}", env!("CARGO_MANIFEST_DIR")), &mut schemas).unwrap();
    move |value| assert!(schemas.validate(value, schema).is_ok(), "{value}")
}

/// Leaves a file for the browser, where one is asked for.
fn leave(folder: &str, name: &str, text: &str) {
    let Some(root) = std::env::var_os("RECRATE_PAGES") else { return };
    let path = Path::new(&root).join(folder).join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}
