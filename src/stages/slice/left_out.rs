//! Versions that a slice leaves out because nobody is known to require them.
//!
//! That nobody does is what was read of manifests, and there are more ways to require something than are read: members in
//! submodules, registries of the repository's own. Were such a version not in the slice, cargo would take an older one without a
//! word. So a line stands for it, which requires a crate that can't be there: cargo stops where it takes that version, and names what
//! it misses.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::digest::Sha256;
use crate::model::krate::CrateName;

/// What the names of crates begin with that are in no registry: the default one's begin with a letter.
const MARK: &str = "_left-out-";

/// The crate that can't be there, for the versions of a crate that are left out.
///
/// # Panics
/// Never: it is a legal name.
#[must_use]
pub fn of(name: &CrateName) -> CrateName {
    let hash = Sha256::of(name.index_path().as_bytes()).to_string();
    format!("{MARK}{}", &hash[..16]).parse().expect("letters, digits and dashes after an underscore")
}

/// Whether a name is of a crate that can't be there. Whoever else uses it, it has no place in any slice.
#[must_use]
pub fn is_one(name: &CrateName) -> bool {
    name.as_str().to_ascii_lowercase().starts_with(MARK)
}

/// What stands for a line of the registry. It can be taken wherever that line can, of all features, and links nothing. Its keys are
/// in order: whoever cuts the slice again must come to the same bytes.
#[must_use]
pub fn stand_in(line: &str) -> String {
    let Ok(mut line) = serde_json::from_str::<BTreeMap<String, Value>>(line) else { return line.to_owned() };
    let keys =
        |value: Option<Value>| value.and_then(|value| Some(value.as_object()?.keys().cloned().collect::<Vec<_>>()));
    let features = [keys(line.remove("features")), keys(line.remove("features2"))].into_iter().flatten().flatten();
    let dependencies = line.remove("deps");
    let optional = dependencies.iter().filter_map(Value::as_array).flatten();
    let optional = optional.filter_map(|one| Some(one.get("name")?.as_str()?.to_owned()));
    let features: BTreeMap<String, [String; 0]> = features.chain(optional).map(|name| (name, [])).collect();
    let name = line.get("name").and_then(|name| name.as_str()?.parse().ok());
    // Of a name that is none, too, cargo must not take the version.
    let never = name.map_or_else(|| format!("{MARK}unknown"), |name| of(&name).to_string());
    let never = json!({ "default_features": true, "features": [], "kind": "normal", "name": never, "optional": false,
        "req": "*", "target": null });
    line.remove("links");
    line.insert("features".to_owned(), json!(features));
    line.insert("deps".to_owned(), json!([never]));
    serde_json::to_string(&line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_a_version_has_its_features_and_requires_what_is_not_there() {
        let line = r#"{"name":"Some","vers":"1.2.3","deps":[{"name":"maybe","req":"^1","optional":true,"kind":"normal"}],
            "cksum":"00","features":{"default":["maybe"]},"features2":{"more":["dep:maybe"]},"yanked":false,"links":"z","v":2}"#;
        let name: CrateName = "Some".parse().unwrap();
        let said: Value = serde_json::from_str(&stand_in(line)).unwrap();
        let never = of(&name);
        assert!(is_one(&never) && never == of(&"some".parse().unwrap()) && never != of(&"same".parse().unwrap()));
        assert_eq!(said["features"], json!({ "default": [], "maybe": [], "more": [] }));
        assert_eq!((&said["deps"][0]["name"], said["deps"].as_array().unwrap().len()), (&json!(never), 1));
        assert_eq!((&said["vers"], &said["v"], &said["links"]), (&json!("1.2.3"), &json!(2), &Value::Null));
    }
}
