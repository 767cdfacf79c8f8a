//! The progress bars of commands.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on stderr for `count` images: only on a terminal, and not where quiet was asked for.
pub fn images(count: usize, is_quiet: bool) -> ProgressBar {
    let template = "{bar:40} {pos}/{len} images, {per_sec}, {eta} left";
    bar(count as u64, template, is_quiet)
}

/// As [`images`], for `count` bytes.
pub fn bytes(count: usize, is_quiet: bool) -> ProgressBar {
    let template = "{bar:40} {decimal_bytes}/{decimal_total_bytes}, {eta} left";
    bar(count as u64, template, is_quiet)
}

/// As [`images`], for `count` episodes.
pub fn episodes(count: usize, is_quiet: bool) -> ProgressBar {
    let template = "{bar:40} {pos}/{len} test episodes, {per_sec}, {eta} left";
    bar(count as u64, template, is_quiet)
}

fn bar(count: u64, template: &str, is_quiet: bool) -> ProgressBar {
    if is_quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(count).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
