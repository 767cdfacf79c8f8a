//! Counts what was checked, in the words that `tests/run` adds up.

use std::fmt::Display;

/// Checks that were made.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: usize,
    failed: usize,
}

impl Report {
    /// A check, and its line.
    pub(crate) fn check(&mut self, passed: bool, what: impl Display) {
        if passed {
            self.passed += 1;
            println!("ok      {what}");
        } else {
            self.failed += 1;
            println!("FAILED  {what}");
        }
    }

    /// A check that is an error or none.
    pub(crate) fn result(&mut self, what: impl Display, result: anyhow::Result<()>) {
        match result {
            Ok(()) => self.check(true, what),
            Err(error) => self.check(false, format_args!("{what}: {error:#}")),
        }
    }

    /// Steps that build on each other: the first that fails is the last.
    pub(crate) fn story<S>(
        &mut self,
        steps: &[(&str, S)],
        mut take: impl FnMut(&S) -> anyhow::Result<()>,
    ) {
        for (done, (name, step)) in steps.iter().enumerate() {
            let result = take(step);
            let failed = result.is_err();
            self.result(name, result);
            if failed {
                println!(
                    "        {} further steps were not run",
                    steps.len() - done - 1
                );
                break;
            }
        }
    }

    /// Prints the sum; whether all passed.
    pub(crate) fn finish(self) -> bool {
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0 && self.passed > 0
    }
}
