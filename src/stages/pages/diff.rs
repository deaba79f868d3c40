//! A diff, side by side.

use maud::{Markup, html};

use crate::stages::diff::lines::{Body, Hunk, Line, Side};
use crate::stages::diff::{Diff, FileDiff};

/// All that differs; `rest` says where what is left out can be seen.
pub fn markup(diff: &Diff, rest: &str) -> Markup {
    html! {
        @for file in &diff.files { (of_file(file, rest)) }
        @if let Some(heading) = diff.container_heading() {
            p.label { (heading) }
            @if !diff.container.is_empty() {
                pre { @for line in &diff.container { (line) "\n" } }
            }
        }
    }
}

fn of_file(FileDiff { path, in_git, in_published, body }: &FileDiff, rest: &str) -> Markup {
    let path = path.to_string();
    let only = match (in_git, in_published) {
        (false, true) => " (only in the published crate)",
        (true, false) => " (missing from the published crate)",
        _ => "",
    };
    html! {
        p.label { code { (path) } (only) }
        @match body {
            Body::NotShown(what) => p { (what) },
            Body::Lines { hunks, cut_after } => {
                div.scroll tabindex="0" role="group" aria-label={ "How " (path) " differs" } {
                    table.diff {
                        thead { tr { td.n {} th { "from git" } td.n {} th { "published" } } }
                        tbody { @for hunk in hunks { (of_hunk(hunk)) } }
                    }
                }
                @if let Some(shown) = cut_after { p { (shown) " lines of it are shown; " code { (rest) } " shows more." } }
            }
        }
    }
}

fn of_hunk(hunk: &Hunk) -> Markup {
    let (mut before, mut after) = (hunk.before, hunk.after);
    html! {
        tr.at { td colspan="4" { (hunk.header) } }
        @for (left, right) in pairs(&hunk.lines) {
            tr {
                (cell(left, &mut before, "del", right))
                (cell(right, &mut after, "ins", left))
            }
        }
    }
}

/// A line of one side with its number; marked where the other side does not have it.
fn cell(own: Option<&Line>, number: &mut usize, class: &str, other: Option<&Line>) -> Markup {
    let Some(line) = own else { return html! { td.n {} td {} } };
    let at = *number;
    *number += 1;
    let differs = line.side != Side::Both || other.is_none();
    html! { td.n { (at) } td class=[differs.then_some(class)] { (line.text) } }
}

/// Lines of both sides that stand beside each other.
fn pairs(lines: &[Line]) -> Vec<(Option<&Line>, Option<&Line>)> {
    let mut pairs = Vec::with_capacity(lines.len());
    let (mut before, mut after): (Vec<&Line>, Vec<&Line>) = (Vec::new(), Vec::new());
    let settle = |pairs: &mut Vec<_>, before: &mut Vec<_>, after: &mut Vec<_>| {
        let rows = before.len().max(after.len());
        pairs.extend((0..rows).map(|row| (before.get(row).copied(), after.get(row).copied())));
        before.clear();
        after.clear();
    };
    for line in lines {
        match line.side {
            Side::Before => before.push(line),
            Side::After => after.push(line),
            Side::Both => {
                settle(&mut pairs, &mut before, &mut after);
                pairs.push((Some(line), Some(line)));
            }
        }
    }
    settle(&mut pairs, &mut before, &mut after);
    pairs
}
