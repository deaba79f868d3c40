//! The builder's own look at whether it is in Nix's sandbox.
//!
//! With Nix's default `sandbox-fallback = true` a machine that forbids namespaces builds without a sandbox, silently
//! and to the same output path (measured on Nix 2.8 and 2.34). So the builder looks for itself and refuses.

use std::path::Path;

use super::{At, Fault, file_variable, variable};

/// Folders of a host that Nix's sandbox never shows.
const HOST_FOLDERS: [&str; 6] = ["/home", "/root", "/usr", "/var", "/opt", "/nix/var"];

/// Store paths that a sandbox may show beyond the closure: `sandbox-paths` often holds a `/bin/sh` and what it links.
const SPARE_STORE_PATHS: usize = 16;

/// Fails unless this process is in Nix's sandbox: no network but loopback, no host folders, and a store that holds
/// hardly more than the derivation's own inputs.
///
/// # Errors
/// [`Fault::Unsandboxed`] with what was seen.
pub fn require() -> Result<(), Fault> {
    match observe()? {
        None => Ok(()),
        Some(leak) => Err(Fault::Unsandboxed(leak)),
    }
}

/// What can be seen here that a sandbox would hide, if anything.
fn observe() -> Result<Option<String>, Fault> {
    let devices = "/proc/net/dev";
    let table = std::fs::read_to_string(devices).at(devices)?;
    if let Some(interface) = foreign_interface(&table) {
        return Ok(Some(format!("the network interface `{interface}` can be seen")));
    }
    if let Some(folder) = HOST_FOLDERS.iter().find(|folder| Path::new(folder).exists()) {
        return Ok(Some(format!("the host's folder {folder} can be seen")));
    }
    let store = variable("NIX_STORE").unwrap_or_else(|_| "/nix/store".to_owned());
    let listed: Vec<String> = std::fs::read_dir(&store)
        .at(&store)?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    Ok(foreign_store_path(&listed, &closure()).map(|path| format!("the store shows {path}, which is no input")))
}

/// The variables, passed as files, whose JSON names store paths: as many as a workspace needs.
const FILES: [&str; 3] = ["gitDependencies", "lfs", "submodules"];

/// The base names of every store path that the derivation's variables mention.
fn closure() -> Vec<String> {
    let files = FILES.into_iter().filter_map(|name| file_variable(name).ok());
    std::env::vars().map(|(_, value)| value).chain(files).flat_map(|value| store_paths(&value)).collect()
}

/// The base names of store paths that stand alone, or as strings of JSON.
fn store_paths(value: &str) -> Vec<String> {
    let words = value.split(|at: char| at.is_whitespace() || at == '"');
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
    let said = observe()?.unwrap_or_else(|| "sandboxed".to_owned());
    std::fs::write(&out, said).at(out)
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
    fn inputs_are_named_by_words_and_by_json() {
        assert_eq!(store_paths("/nix/store/a-x/bin /nix/store/b-y"), ["a-x", "b-y"]);
        assert_eq!(store_paths(r#"{"a b.png":"/nix/store/c-lfs-object","x/nix/store/d":"e"}"#), ["c-lfs-object"]);
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
