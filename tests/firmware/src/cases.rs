//! The cases of `tests/cases` on every machine: all patches on board, another one for every frame.

use std::thread;

use anyhow::{Result, bail};
use graft_tests::cases::{TASKS, digest};

use crate::device::{Device, slot_of};
use crate::machine::Machine;
use crate::report::Report;

/// Runs all cases on these machines, on all at once: much of the time the link is waited for.
pub(crate) fn run(machines: &[Machine], verbose: bool, report: &mut Report) {
    let seen: Vec<Result<Seen>> = thread::scope(|scope| {
        let threads: Vec<_> = machines
            .iter()
            .map(|&machine| scope.spawn(move || on(machine, verbose)))
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .map(|seen| seen.unwrap_or_else(|_| bail!("panicked")))
            .collect()
    });
    for (machine, seen) in machines.iter().zip(seen) {
        let name = format!("{} {}", machine.core, machine.name);
        match seen {
            Ok(Seen {
                right,
                images,
                swaps,
            }) => report.check(
                right == images,
                format_args!("{name}: {right} of {images} images as on the host, {swaps} swaps"),
            ),
            Err(error) => report.result(name, Err(error)),
        }
    }
}

struct Seen {
    right: usize,
    images: usize,
    /// Images that came after one of another task.
    swaps: usize,
}

fn on(machine: Machine, verbose: bool) -> Result<Seen> {
    let mut device = Device::new(machine, verbose)?;
    for (slot, task) in (0..).zip(&TASKS[1..]) {
        device.push(slot, task)?;
        let mut client = device.client()?;
        client.activate(slot)?;
        client.confirm()?;
    }
    let mut client = device.client()?;
    let mut right = 0;
    for case in device.cases() {
        let found = client.run(&case.pixels(), Some(slot_of(&case.task)))?;
        let found = digest(&found.scores);
        if found == case.scores {
            right += 1;
        } else {
            println!(
                "        {}/{}: {found}, expected {}",
                case.task, case.shows, case.scores
            );
        }
    }
    let pairs = device.cases().windows(2);
    Ok(Seen {
        right,
        images: device.cases().len(),
        swaps: pairs.filter(|pair| pair[0].task != pair[1].task).count(),
    })
}
