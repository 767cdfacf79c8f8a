//! Executes a backbone in place from flash with no heap, hot-swaps between its own values and a patch, and compares
//! every score, bit for bit, with the reference kernels of the host. Then compares the int8 kernels with the reference.
#![no_std]
#![no_main]

mod int8;

use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use graft_runtime::{Backbone, Error, Patch, Session, Verify};
use panic_semihosting as _;

#[repr(align(64))]
struct Aligned<T: ?Sized>(T);

static BACKBONE: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/test.backbone")));
static PATCH: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/test.patch")));
static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/image"));
static OWN_SCORES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/own.scores"));
static PATCH_SCORES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/patch.scores"));

const ARENA: usize = 128 * 1024;
const IMAGE_VALUES: usize = 24 * 24 * 3;

#[entry]
fn main() -> ! {
    match run() {
        Ok((passed, failed)) => {
            hprintln!("{} passed, {} failed", passed, failed);
            let is_ok = failed == 0 && passed > 0;
            debug::exit(if is_ok { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
        }
        Err(error) => {
            hprintln!("error: {}\n0 passed, 1 failed", error);
            debug::exit(debug::EXIT_FAILURE);
        }
    }
    loop {
        cortex_m::asm::wfi();
    }
}

fn run() -> Result<(usize, usize), Error> {
    let arena = cortex_m::singleton!(: Aligned<[u8; ARENA]> = Aligned([0; ARENA]));
    let image = cortex_m::singleton!(: [f32; IMAGE_VALUES] = [0.0; IMAGE_VALUES]);
    let (Some(arena), Some(image)) = (arena, image) else {
        return Ok((0, 1));
    };
    for (value, bytes) in image.iter_mut().zip(IMAGE.as_chunks().0) {
        *value = f32::from_le_bytes(*bytes);
    }
    let backbone = Backbone::from_static(&BACKBONE.0, Verify::Full)?;
    let patch = Patch::from_static(&PATCH.0, &backbone, Verify::Full)?;
    let own = backbone.identity();
    let mut session = Session::in_arena(&backbone, &mut arena.0)?;
    hprintln!("backbone {} bytes in place, arena {} bytes", BACKBONE.0.len(), session.arena_bytes());
    let mut counts = [0, 0];
    // Own, patch, own, patch: nothing of one task is left when the other runs.
    for (patch, expected) in [(&own, OWN_SCORES), (&patch, PATCH_SCORES)].into_iter().cycle().take(4) {
        let scores = session.run(patch, graft_runtime::Image::Values(image))?;
        let is_same = scores.len() * 4 == expected.len()
            && scores.iter().zip(expected.as_chunks().0).all(|(score, bytes)| score.to_le_bytes() == *bytes);
        hprintln!("{} scores {}", scores.len(), if is_same { "as on the host" } else { "DIFFER" });
        counts[usize::from(!is_same)] += 1;
    }
    let Some(memory) = cortex_m::singleton!(: int8::Memory = int8::Memory::EMPTY) else {
        return Ok((0, 1));
    };
    let [passed, failed] = int8::run(memory);
    Ok((counts[0] + passed, counts[1] + failed))
}
