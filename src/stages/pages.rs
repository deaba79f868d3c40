//! *Pages*: reports and verdicts as HTML, for people. Each page is one file that needs no other and asks no server for anything; what
//! strangers wrote is text and nothing else, and [`maud`] sees to that.

mod diff;
mod package;
pub mod report;
#[cfg(feature = "driver")]
pub mod site;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::model::digest::Sha256;
use crate::model::krate::CrateId;
use crate::model::package::{PackageKey, RegistryName};

/// How all pages look.
const STYLE: &str = include_str!("pages/style.css");
/// What filters rows.
const FILTER: &str = include_str!("pages/filter.js");

/// A whole page. Nothing but its own style and its own script counts in it, and nothing is asked of any server: browsers hold it
/// to that, whatever stands in the body.
fn page(title: &str, body: &Markup) -> String {
    let digest = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::of(text.as_bytes()).0));
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
        digest(STYLE),
        digest(FILTER)
    );
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (body)
                script { (PreEscaped(FILTER)) }
            }
        }
    };
    markup.into_string()
}

/// The host of the default registry's pages.
#[must_use]
pub fn registry_host() -> String {
    // Its index is on that host, below one name more.
    let host = tame_index::CRATES_IO_HTTP_INDEX.strip_prefix("sparse+https://index.").unwrap_or_default();
    host.trim_end_matches('/').to_owned()
}

/// A registry's page of a crate; none where recrate knows of none.
fn registry_page(key: &PackageKey) -> Option<String> {
    let CrateId { name, version } = key.id();
    (key.registry == RegistryName::Default).then(|| format!("https://{}/crates/{name}/{version}", registry_host()))
}

/// Lines, each on a line of its own.
fn lines<T: std::fmt::Display>(lines: impl IntoIterator<Item = T>) -> Markup {
    html! { @for (at, line) in lines.into_iter().enumerate() { @if at > 0 { "\n" } (line.to_string()) } }
}
