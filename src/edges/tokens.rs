//! Where the token comes from that a registry takes: variables, cargo's credentials, another credential provider, or an identity that
//! is exchanged. Tokens are never kept, shown or logged; their type has no way to be.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cargo_credential::{
    Action, CredentialHello, CredentialRequest, CredentialResponse, PROTOCOL_VERSION_1, RegistryInfo, Secret,
};
use serde::Deserialize;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody gives one.
    #[error("no token for {registry}: set {variable}, run `cargo login`, or name a credential provider after --inner")]
    None {
        /// The registry.
        registry: String,
        /// The variable.
        variable: String,
    },
    /// cargo's credentials can't be read.
    #[error("{path} can't be read as cargo's credentials")]
    Credentials {
        /// The file.
        path: PathBuf,
    },
    /// The provider is one that is part of cargo.
    #[error("`{0}` runs inside cargo, and nobody else can ask it: cargo's credentials.toml is read without --inner")]
    BuiltIn(String),
    /// The provider does not answer as it should. What it says is not shown: it may have a token in it.
    #[error("the credential provider {program} {reason}")]
    Provider {
        /// The program.
        program: String,
        /// What is wrong.
        reason: String,
    },
}

/// The token that variables or cargo's credentials in `cargo_home` have for a registry; none is `name` for a registry that cargo's
/// configuration does not name.
///
/// # Errors
/// Where there is none.
pub fn usual(name: Option<&str>, index: &str, cargo_home: Option<&Path>) -> Result<Secret<String>, Error> {
    let is_default = name.is_none_or(|name| name == DEFAULT);
    let variable = match name {
        Some(name) if !is_default => {
            format!("CARGO_REGISTRIES_{}_TOKEN", name.to_ascii_uppercase().replace('-', "_"))
        }
        _ => TOKEN.to_owned(),
    };
    let known = name.is_some();
    let given = std::env::var(&variable).ok().filter(|token| known && !token.trim().is_empty());
    if let Some(token) = given {
        return Ok(Secret::from(token.trim().to_owned()));
    }
    let none = || Error::None { registry: name.unwrap_or(index).to_owned(), variable: variable.clone() };
    let Some(home) = cargo_home else { return Err(none()) };
    for file in ["credentials.toml", "credentials"] {
        let path = home.join(file);
        let text = match fs_err::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            read => read.map_err(|_| Error::Credentials { path: path.clone() })?,
        };
        // What the parser says would have the file's lines in it.
        let table: toml::Table = text.parse().map_err(|_| Error::Credentials { path: path.clone() })?;
        let token = match name {
            Some(name) if !is_default => table.get("registries").and_then(|all| all.get(name)),
            Some(_) => table.get("registry"),
            None => None,
        };
        if let Some(token) = token.and_then(|of| of.get("token")?.as_str()) {
            return Ok(Secret::from(token.to_owned()));
        }
    }
    Err(none())
}

/// The variable in which the default registry's token is.
const TOKEN: &str = "CARGO_REGISTRY_TOKEN";

/// What cargo calls the default registry.
pub const DEFAULT: &str = "crates-io";

/// The token of another credential provider: a program and its arguments.
///
/// # Errors
/// Where it gives none.
pub fn of_provider(
    command: &[String],
    registry: &RegistryInfo<'_>,
    action: &Action<'_>,
) -> Result<Secret<String>, Error> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Error::Provider { program: String::new(), reason: "is not named".to_owned() });
    };
    if program.starts_with("cargo:") {
        return Err(Error::BuiltIn(program.clone()));
    }
    let failed = |reason: &str| Error::Provider { program: program.clone(), reason: reason.to_owned() };
    let mut child = Command::new(program)
        .arg("--cargo-plugin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&format!("can't be run: {error}")))?;
    let (stdin, stdout) = child.stdin.take().zip(child.stdout.take()).ok_or_else(|| failed("can't be talked to"))?;
    let answer = ask(stdin, BufReader::new(stdout), registry, action, arguments);
    // It ends when nobody asks it any more.
    let ended = child.wait();
    let answer = answer.ok_or_else(|| failed("does not speak as cargo's providers do"))?;
    if !ended.is_ok_and(|status| status.success()) {
        return Err(failed("failed"));
    }
    match answer {
        Ok(CredentialResponse::Get { token, .. }) => Ok(token),
        Ok(_) => Err(failed("gave no token")),
        // What it says is not shown: it may have a token in it.
        Err(_) => Err(failed("refuses: asked by cargo alone, it says why")),
    }
}

type Answer = Result<CredentialResponse, cargo_credential::Error>;

fn ask(
    mut stdin: impl std::io::Write,
    mut stdout: impl std::io::BufRead,
    registry: &RegistryInfo<'_>,
    action: &Action<'_>,
    arguments: &[String],
) -> Option<Answer> {
    let mut line = String::new();
    stdout.read_line(&mut line).ok()?;
    let hello: CredentialHello = serde_json::from_str(&line).ok()?;
    if !hello.v.contains(&PROTOCOL_VERSION_1) {
        return None;
    }
    let request = CredentialRequest {
        v: PROTOCOL_VERSION_1,
        registry: registry.clone(),
        action: action.clone(),
        args: arguments.iter().map(String::as_str).collect(),
    };
    let text = serde_json::to_string(&request).ok()?;
    writeln!(stdin, "{text}").ok()?;
    line.clear();
    stdout.read_line(&mut line).ok()?;
    #[derive(Deserialize)]
    struct Wire(Answer);
    let Wire(answer) = serde_json::from_str(&line).ok()?;
    Some(answer)
}
