//! Badges.

use maud::html;
use serde::{Deserialize, Serialize};

use crate::stages::sign::Sign;

/// A badge as shields' "endpoint" takes it: <https://shields.io/badges/endpoint-badge>.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Badge {
    schema_version: u32,
    label: String,
    message: String,
    color: String,
    cache_seconds: u32,
}

/// What stands left on a badge.
const LABEL: &str = "crate = git";

impl Badge {
    /// The badge of a crate.
    pub fn of(sign: Sign, conditions: &[String]) -> Self {
        Self {
            schema_version: 1,
            label: LABEL.to_owned(),
            message: message(sign, conditions),
            color: colour(sign).trim_start_matches('#').to_owned(),
            cache_seconds: 86_400,
        }
    }
}

/// The sign; that something had to be assumed is said.
fn message(sign: Sign, conditions: &[String]) -> String {
    match (sign, conditions) {
        (Sign::BitForBit | Sign::SameContents, [_, ..]) => format!("{sign}, with conditions"),
        _ => sign.to_string(),
    }
}

/// White on it has a contrast of 4.5 or more.
fn colour(sign: Sign) -> &'static str {
    match sign {
        Sign::BitForBit => "#176b2c",
        Sign::SameContents => "#00616b",
        Sign::Unverifiable => "#6b4a00",
        Sign::Differs => "#b3141f",
    }
}

/// How wide a character is at most, on average, and how much there is around a text, in pixels.
const CHARACTER: usize = 7;
const AROUND: usize = 12;

/// The badge as a picture.
pub fn picture(sign: Sign, conditions: &[String]) -> String {
    let message = message(sign, conditions);
    let width = |text: &str| text.len() * CHARACTER;
    let (left, right) = (width(LABEL) + AROUND, width(&message) + AROUND);
    let text = format!("{LABEL}: {message}");
    let markup = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(left + right) height="20" role="img" aria-label=(text) {
            title { (text) }
            rect width=(left) height="20" fill="#444a52" {}
            rect x=(left) width=(right) height="20" fill=(colour(sign)) {}
            g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" {
                text x=(AROUND / 2) y="14" textLength=(width(LABEL)) { (LABEL) }
                text x=(left + AROUND / 2) y="14" textLength=(width(&message)) { (message) }
            }
        }
    };
    markup.into_string() + "\n"
}
