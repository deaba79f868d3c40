//! The builder's own look at whether it is in Nix's sandbox.
//!
//! With Nix's default `sandbox-fallback = true` a machine that forbids namespaces builds without a sandbox, silently
//! and to the same output path (measured on Nix 2.8 and 2.34). So the builder looks for itself and refuses.

use std::path::Path;

use super::{Fault, variable};
use crate::contract::recipe::Recipe;

/// Folders of a host that Nix's sandbox never shows.
const HOST_FOLDERS: [&str; 6] = ["/home", "/root", "/usr", "/var", "/opt", "/nix/var"];

/// Store paths that a sandbox may show beyond the closure: `sandbox-paths` often holds a `/bin/sh` and what it links.
const SPARE_STORE_PATHS: usize = 16;

/// Fails unless this process is in Nix's sandbox: no network but loopback, no host folders, and a store that holds
/// hardly more than the derivation's own inputs. `recipe` is the derivation's, where it has one.
///
/// # Errors
/// [`Fault::Unsandboxed`] with what was seen.
pub fn require(recipe: Option<&Recipe>) -> Result<(), Fault> {
    match observe(recipe)? {
        None => Ok(()),
        Some(leak) => Err(Fault::Unsandboxed(leak)),
    }
}

/// What can be seen here that a sandbox would hide, if anything.
fn observe(recipe: Option<&Recipe>) -> Result<Option<String>, Fault> {
    let table = fs_err::read_to_string("/proc/net/dev")?;
    if let Some(interface) = foreign_interface(&table) {
        return Ok(Some(format!("the network interface `{interface}` can be seen")));
    }
    if let Some(folder) = HOST_FOLDERS.iter().find(|folder| Path::new(folder).exists()) {
        return Ok(Some(format!("the host's folder {folder} can be seen")));
    }
    let store = variable("NIX_STORE").unwrap_or_else(|_| "/nix/store".to_owned());
    let listed: Vec<String> = fs_err::read_dir(&store)?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    Ok(foreign_store_path(&listed, &closure(recipe)).map(|path| format!("the store shows {path}, which is no input")))
}

/// The base names of every store path that the derivation's variables and recipe mention.
fn closure(recipe: Option<&Recipe>) -> Vec<String> {
    let recipe = recipe.into_iter().flat_map(Recipe::store_paths).map(|path| path.display().to_string());
    std::env::vars().map(|(_, value)| value).chain(recipe).flat_map(|value| store_paths(&value)).collect()
}

/// The base names of store paths in a text, white space between them.
fn store_paths(value: &str) -> Vec<String> {
    let words = value.split_whitespace();
    words.filter_map(|word| Some(word.strip_prefix("/nix/store/")?.split('/').next()?.to_owned())).collect()
}

/// The first network interface of `/proc/net/dev`'s table that is not loopback.
fn foreign_interface(table: &str) -> Option<&str> {
    table.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim())).find(|name| *name != "lo")
}

/// A store path that no sandbox shows: a derivation, the store's own link folder, or simply too many of them.
fn foreign_store_path(listed: &[String], closure: &[String]) -> Option<String> {
    let extra: Vec<&String> = listed.iter().filter(|name| !closure.contains(name)).collect();
    extra
        .iter()
        .find(|name| name.ends_with(".drv") || name.as_str() == ".links")
        .or_else(|| (extra.len() > SPARE_STORE_PATHS).then(|| &extra[0]))
        .map(|name| (*name).clone())
}

/// The `probe` verb: writes what the sandbox hides, or does not, into `$out`, and never fails for it.
///
/// # Errors
/// Only where `$out` can't be written.
pub fn probe() -> Result<(), Fault> {
    let out = variable("out")?;
    let seen = observe(None)?.unwrap_or_else(|| "sandboxed".to_owned());
    Ok(fs_err::write(out, seen)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Inter-|   Receive\n face |bytes\n";

    #[test]
    fn only_loopback_is_a_sandbox() {
        assert_eq!(foreign_interface(&format!("{HEAD}    lo: 0 0\n")), None);
        assert_eq!(foreign_interface(&format!("{HEAD}    lo: 0 0\n  eth0: 1 1\n")), Some("eth0"));
    }

    #[test]
    fn inputs_are_the_store_paths_among_the_words() {
        assert_eq!(store_paths("/nix/store/a-x/bin /nix/store/b-y x/nix/store/c"), ["a-x", "b-y"]);
    }

    #[test]
    fn a_hosts_store_is_told_from_a_sandboxs() {
        let closure = vec!["aaa-source".to_owned()];
        assert_eq!(foreign_store_path(&["aaa-source".to_owned()], &closure), None);
        assert_eq!(
            foreign_store_path(&["bbb-busybox".to_owned(), "aaa-source".to_owned()], &closure),
            None,
            "a /bin/sh of the sandbox-paths setting is no leak"
        );
        assert_eq!(foreign_store_path(&["x.drv".to_owned()], &closure), Some("x.drv".to_owned()));
        assert_eq!(foreign_store_path(&[".links".to_owned()], &closure), Some(".links".to_owned()));
        let many: Vec<String> = (0..40).map(|n| format!("{n}-thing")).collect();
        assert!(foreign_store_path(&many, &closure).is_some());
    }
}
