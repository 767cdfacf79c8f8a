//! Progress of a training run on stderr: a bar on a terminal, and a line for each epoch.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{FormattedDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::checkpoint::Totals;
use super::history::Epoch;
use crate::watch::{Event, Stopped, Watch};

/// Lines that are left on the screen besides the bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// A line for each epoch.
    Epochs,
    /// Nothing.
    None,
}

/// The progress of a run.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    has_lines: bool,
    epochs: usize,
    /// Training images of an epoch.
    images: usize,
    started: Instant,
    /// Images that an earlier run, which this one resumes, has trained on.
    before: usize,
    watch: Watch,
}

impl Progress {
    /// A run of `epochs` epochs over `images` images each, of which the images `before` are done.
    pub fn new(epochs: usize, images: usize, before: usize, watch: Watch, lines: Lines) -> Self {
        let bar = if watch.is_quiet || !io::stderr().is_terminal() {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden())
        } else {
            let style = ProgressStyle::with_template("{bar:30} {msg}");
            ProgressBar::new((epochs * images) as u64)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        };
        Self {
            bar,
            has_lines: !watch.is_quiet && lines == Lines::Epochs,
            epochs,
            images,
            started: Instant::now(),
            before,
            watch,
        }
    }

    /// After a step of epoch `epoch`, counted from 0, that so far measured `totals`.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn step(&self, epoch: usize, totals: &Totals) -> Result<(), Stopped> {
        let done = epoch * self.images + totals.images;
        let left = time_left(
            self.started.elapsed(),
            done.saturating_sub(self.before),
            (self.epochs * self.images).saturating_sub(done),
        );
        self.bar.set_position(done as u64);
        self.bar
            .set_message(message(epoch, self.epochs, totals, left));
        self.watch.tell(&Event::Step {
            epoch: epoch + 1,
            epochs: self.epochs,
            images: self.images,
            totals,
        })
    }

    /// While the validation images of epoch `epoch`, counted from 0, are classified.
    pub fn validation(&self, epoch: usize) {
        let (epoch, epochs) = (epoch + 1, self.epochs);
        self.bar
            .set_message(format!("epoch {epoch}/{epochs}, validating"));
    }

    /// After epoch `epoch`, counted from 0; `is_best` if none was better so far.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn epoch(&self, epoch: usize, measured: &Epoch, is_best: bool) -> Result<(), Stopped> {
        let line = line(epoch, self.epochs, self.images, measured, is_best);
        if !self.has_lines {
        } else if self.bar.is_hidden() {
            // Where stderr is closed there is nobody to tell.
            let _ = writeln!(io::stderr(), "{line}");
        } else {
            self.bar.println(line);
        }
        self.watch.tell(&Event::Epoch {
            epoch: epoch + 1,
            epochs: self.epochs,
            measured,
            is_best,
        })
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// At the mean speed so far, validation included.
fn time_left(elapsed: Duration, done: usize, left: usize) -> Option<Duration> {
    let seconds = elapsed.as_secs_f64() / done as f64 * left as f64;
    Duration::try_from_secs_f64(seconds.round()).ok()
}

fn message(epoch: usize, epochs: usize, totals: &Totals, left: Option<Duration>) -> String {
    let images = totals.images.max(1) as f64;
    let left = left.map_or(String::new(), |left| {
        format!(", {} left", FormattedDuration(left))
    });
    format!(
        "epoch {}/{epochs}, loss {:.3}, accuracy {:.1} %, {:.0} images/s{left}",
        epoch + 1,
        totals.loss / images,
        100.0 * totals.correct as f64 / images,
        images / totals.seconds,
    )
}

fn line(epoch: usize, epochs: usize, images: usize, measured: &Epoch, is_best: bool) -> String {
    let Epoch {
        train,
        validation,
        seconds,
    } = measured;
    let validation = validation.map_or(String::new(), |score| {
        let accuracy = 100.0 * score.accuracy;
        format!("validation loss {:.3}, {accuracy:5.1} %; ", score.loss)
    });
    let width = epochs.to_string().len();
    format!(
        "epoch {:width$}/{epochs}: train loss {:.3}, {:5.1} %; {validation}{:.0} images/s, {seconds:.1} s{}",
        epoch + 1,
        train.loss,
        100.0 * train.accuracy,
        images as f64 / seconds,
        if is_best { ", best so far" } else { "" },
    )
}

#[cfg(test)]
mod tests {
    use super::super::history::Score;
    use super::*;

    #[test]
    fn an_epoch_is_one_aligned_line() {
        let measured = Epoch {
            train: Score {
                loss: 0.25,
                accuracy: 1.0,
            },
            validation: Some(Score {
                loss: 0.5,
                accuracy: 0.875,
            }),
            seconds: 2.0,
        };
        assert_eq!(
            line(8, 10, 320, &measured, true),
            "epoch  9/10: train loss 0.250, 100.0 %; validation loss 0.500,  87.5 %; 160 images/s, 2.0 s, best so far"
        );
        let alone = Epoch {
            validation: None,
            ..measured
        };
        assert_eq!(
            line(8, 10, 320, &alone, false),
            "epoch  9/10: train loss 0.250, 100.0 %; 160 images/s, 2.0 s"
        );
    }

    #[test]
    fn the_message_says_how_long_the_rest_takes() {
        let totals = Totals {
            images: 64,
            loss: 96.0,
            correct: 48,
            seconds: 0.5,
        };
        let left = time_left(Duration::from_secs(10), 100, 36_610);
        assert_eq!(
            message(0, 3, &totals, left),
            "epoch 1/3, loss 1.500, accuracy 75.0 %, 128 images/s, 01:01:01 left"
        );
        assert_eq!(time_left(Duration::from_secs(10), 0, 0), None);
        assert_eq!(time_left(Duration::from_secs(10), 0, 5), None);
    }

    #[test]
    fn a_quiet_run_says_nothing_and_does_not_fail() {
        let quiet = Watch {
            is_quiet: true,
            watcher: None,
        };
        let progress = Progress::new(2, 10, 0, quiet, Lines::Epochs);
        progress.step(0, &Totals::default()).unwrap();
        progress.validation(0);
        progress.epoch(0, &Epoch::default(), true).unwrap();
        progress.finish();
        assert!(progress.bar.is_hidden() && progress.bar.is_finished());
    }
}
