//! The progress bars of commands.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::watch::{Event, Stopped, Watch};

/// A bar for images, which a watcher follows, too.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    watch: Watch,
}

impl Bar {
    /// One that nobody sees.
    pub fn hidden() -> Self {
        images(
            0,
            &Watch {
                is_quiet: true,
                watcher: None,
            },
        )
    }

    /// One more is done.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn inc(&self) -> Result<(), Stopped> {
        self.bar.inc(1);
        self.tell()
    }

    /// So many are done.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn set_position(&self, done: usize) -> Result<(), Stopped> {
        self.bar.set_position(done as u64);
        self.tell()
    }

    fn tell(&self) -> Result<(), Stopped> {
        self.watch.tell(&Event::Images {
            done: self.bar.position() as usize,
            all: self.bar.length().unwrap_or(0) as usize,
        })
    }

    /// Takes it away.
    pub fn finish_and_clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// A bar on stderr for `count` images: only on a terminal, and not where quiet was asked for.
pub fn images(count: usize, watch: &Watch) -> Bar {
    let template = "{bar:40} {pos}/{len} images, {per_sec}, {eta} left";
    Bar {
        bar: bar(count as u64, template, watch.is_quiet),
        watch: watch.clone(),
    }
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
        return ProgressBar::with_draw_target(Some(count), ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(count).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
