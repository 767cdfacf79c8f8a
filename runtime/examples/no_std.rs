//! A backbone and a patch in a microcontroller's flash, run in an arena on the stack: no operating system, no
//! heap.
//!
//! From the root of the repository, on this machine and for a Cortex-M4:
//!
//! ```text
//! cargo run --release -p graft-runtime --example no_std
//! cargo build --release -p graft-runtime --no-default-features --example no_std --target thumbv7em-none-eabihf
//! ```
//!
//! A real program adds what its chip needs: a vector table and memory layout (crate `cortex-m-rt`), and a camera.
#![cfg_attr(target_os = "none", no_std, no_main)]

use graft_runtime::{Backbone, Error, Patch, Session, Verify};

/// Images and arenas start at a multiple of 64.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

macro_rules! in_flash {
    ($file:literal) => {
        &Aligned(*include_bytes!(concat!(
            "../../tools/assets/demo/int8/",
            $file
        )))
    };
}

static BACKBONE: &Aligned<[u8]> = in_flash!("demo.backbone");
static FASHION: &Aligned<[u8]> = in_flash!("fashion.patch");
static GREEK: &Aligned<[u8]> = in_flash!("greek.patch");

/// Bytes of the arena. `patchtool inspect` prints those that a backbone needs on a microcontroller; the wider
/// vectors of other machines need more.
const ARENA: usize = if cfg!(target_os = "none") { 80 } else { 128 } * 1024;
/// 48 x 48 RGB pixels.
const FRAME: usize = 48 * 48 * 3;

/// Runs one frame through two tasks of the same backbone; returns the best class of each.
fn classify(arena: &mut [u8], frame: &[u8]) -> Result<[usize; 2], Error> {
    // `Verify::Full` hashes every byte: after a first boot that has done so, `Verify::Structure` is enough.
    let backbone = Backbone::from_static(&BACKBONE.0, Verify::Full)?;
    let fashion = Patch::from_static(&FASHION.0, &backbone, Verify::Full)?;
    let greek = Patch::from_static(&GREEK.0, &backbone, Verify::Full)?;
    let mut session = Session::in_arena(&backbone, arena)?;
    let mut classes = [0; 2];
    for (class, patch) in classes.iter_mut().zip([&fashion, &greek]) {
        *class = best(session.run(patch, frame)?);
    }
    Ok(classes)
}

fn best(scores: &[f32]) -> usize {
    let mut best = 0;
    for (class, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = class;
        }
    }
    best
}

/// The program on a microcontroller. It never returns, so the arena may live on its stack.
#[cfg(target_os = "none")]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let mut arena = Aligned([0; ARENA]);
    loop {
        let frame = [128; FRAME]; // a camera's
        let classes = classify(&mut arena.0, &frame);
        core::hint::black_box(classes.ok()); // to a display
    }
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

#[cfg(not(target_os = "none"))]
fn main() -> Result<(), Error> {
    let mut arena = Aligned([0; ARENA]);
    let [fashion, greek] = classify(&mut arena.0, &[128; FRAME])?;
    println!("class {fashion} of clothes, class {greek} of Greek letters");
    Ok(())
}
