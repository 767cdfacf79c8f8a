//! Executes an f32 and an int8 backbone in place from flash with no heap, hot-swaps between their own values and a patch, and
//! compares every layer and score, bit for bit, with the reference kernels of the host, and several patches on one image with
//! each alone. Then compares the int8 kernels with the reference.
#![no_std]
#![no_main]

mod int8;

use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use graft_patches::Digest;
use graft_runtime::{Backbone, Error, Image, LayerOutput, Patch, Session, Verify};
use panic_semihosting as _;
use zerocopy::IntoBytes as _;

#[repr(align(64))]
struct Aligned<T: ?Sized>(T);

macro_rules! embedded {
    ($name:literal) => {
        &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/", $name)))
    };
}

/// A backbone and a patch of it, with the arena's length as the host knows it, and what the host's reference kernels compute
/// by each: the scores, and the first eight bytes of the digest of every layer's output.
struct Model {
    backbone: &'static Aligned<[u8]>,
    patch: &'static Aligned<[u8]>,
    /// Another patch, which is as the backbone in its first layers.
    later: &'static Aligned<[u8]>,
    arena: u64,
    scores: [&'static Aligned<[u8]>; 2],
    layers: [&'static Aligned<[u8]>; 2],
}

static FLOAT: Model = Model {
    backbone: embedded!("f32.backbone"),
    patch: embedded!("f32.patch"),
    later: embedded!("f32.later"),
    arena: u64::from_le_bytes(*include_bytes!(concat!(env!("OUT_DIR"), "/f32.arena"))),
    scores: [embedded!("f32.own.scores"), embedded!("f32.patch.scores")],
    layers: [embedded!("f32.own.layers"), embedded!("f32.patch.layers")],
};
static INT8: Model = Model {
    backbone: embedded!("int8.backbone"),
    patch: embedded!("int8.patch"),
    later: embedded!("int8.later"),
    arena: u64::from_le_bytes(*include_bytes!(concat!(env!("OUT_DIR"), "/int8.arena"))),
    scores: [embedded!("int8.own.scores"), embedded!("int8.patch.scores")],
    layers: [embedded!("int8.own.layers"), embedded!("int8.patch.layers")],
};
static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/image"));

const ARENA: usize = 160 * 1024;
const IMAGE_VALUES: usize = 24 * 24 * 3;
/// Of the backbones' own heads.
const CLASSES: usize = 10;

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
    let mut counts = [0, 0];
    for model in [&FLOAT, &INT8] {
        let [passed, failed] = model.run(&mut arena.0, image)?;
        counts = [counts[0] + passed, counts[1] + failed];
    }
    let Some(memory) = cortex_m::singleton!(: int8::Memory = int8::Memory::EMPTY) else {
        return Ok((0, 1));
    };
    let [passed, failed] = int8::run(memory);
    Ok((counts[0] + passed, counts[1] + failed))
}

impl Model {
    /// Numbers of runs that compute the same as the host in every layer that is whole in memory, and that do not; the arena's length counts as one.
    fn run(&self, arena: &mut [u8], image: &[f32]) -> Result<[usize; 2], Error> {
        let backbone = Backbone::from_static(&self.backbone.0, Verify::Full)?;
        let patch = Patch::from_static(&self.patch.0, &backbone, Verify::Full)?;
        let own = backbone.identity();
        let mut session = Session::in_arena(&backbone, arena)?;
        hprintln!(
            "{} backbone, {} bytes in place, arena {} bytes, {} kernels",
            backbone.image().dtype(),
            self.backbone.0.len(),
            session.arena_bytes(),
            session.kernels()
        );
        let mut counts = match session.arena_bytes() as u64 == self.arena {
            true => [1, 0],
            false => [0, 1],
        };
        // Own, patch, own, patch: nothing of one task is left when the other runs.
        for task in [0, 1, 0, 1] {
            let expected = self.layers[task].0.as_chunks::<8>().0;
            let (mut seen, mut differing) = (0, 0);
            let scores = session.run_observed([&own, &patch][task], Image::Values(image), |layer, output| {
                let digest = match output {
                    LayerOutput::F32(values) => Digest::of(values.as_bytes()),
                    LayerOutput::I8(values, _) => Digest::of(values.as_bytes()),
                };
                seen += 1;
                differing += usize::from(expected.get(layer) != digest.0.first_chunk());
            })?;
            let is_same = differing == 0 && scores.as_bytes() == &self.scores[task].0;
            let verdict = if is_same { "as on the host" } else { "DIFFER" };
            hprintln!("{} of {} layers and {} scores {}, {} layers differ", seen, expected.len(), scores.len(), verdict, differing);
            counts[usize::from(!is_same)] += 1;
        }
        let later = Patch::from_static(&self.later.0, &backbone, Verify::Full)?;
        let is_same = run_many(&backbone, &mut session, &[&own, &later, &own], image)?;
        counts[usize::from(!is_same)] += 1;
        Ok(counts)
    }
}

/// Whether patches score together as each alone, after layers that they share.
fn run_many(backbone: &Backbone, session: &mut Session, patches: &[&Patch], image: &[f32]) -> Result<bool, Error> {
    let mut scores = [[0.0; CLASSES]; 3];
    for (scores, patch) in scores.iter_mut().zip(patches) {
        scores.copy_from_slice(session.run(patch, Image::Values(image))?);
    }
    let mut same = 0;
    session.run_many(patches, Image::Values(image), |index, found| {
        same += usize::from(scores[index].as_bytes() == found.as_bytes());
    })?;
    let shared = backbone.shared_layers(patches);
    let saved = Session::many_arena_len(backbone, patches) - Session::arena_len(backbone);
    hprintln!("{} of {} patches together as alone, {} layers shared, {} bytes saved", same, patches.len(), shared, saved);
    Ok(same == patches.len() && scores[0] != scores[1] && shared > 0 && saved > 0)
}
