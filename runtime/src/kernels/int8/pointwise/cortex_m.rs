//! Matrix product for Cortex-M: two pixels are unpacked to halves of 16 bits once, then multiplied by all weights.

#[cfg(all(arm_dsp, target_abi = "eabihf"))]
use core::mem::offset_of;

use graft_patches::layout::{PANEL, QUAD};
use zerocopy::IntoBytes;

use super::{check, check_linear};
use crate::kernels::int8::epilogue::cortex_m::Requantize;
use crate::kernels::int8::{Epilogue, Pointwise};
use crate::kernels::isa::cortex_m::{Halves, dot, read, unpack};

/// Pixels that share the unpacked weights.
pub(in crate::kernels) const ROWS: usize = 2;

pub(in crate::kernels) fn pointwise(
    call: &Pointwise,
    first: usize,
    out: &mut [i8],
    scratch: &mut [u8],
) {
    check(call, first, out, scratch);
    let product = Product::new(call.inputs, call.weights, call.epilogue);
    let input = call.input[first * call.inputs..].as_bytes();
    let pixels = input.chunks(ROWS * call.inputs);
    for (pixels, out) in pixels.zip(out.chunks_mut(ROWS * call.outputs)) {
        product.rows(pixels, call.outputs, out, scratch);
    }
}

pub(in crate::kernels) fn linear(
    call: &Pointwise,
    first: usize,
    out: &mut [i8],
    scratch: &mut [u8],
) {
    check_linear(call, first, out, scratch);
    let product = Product::new(call.inputs, call.weights, call.epilogue);
    product.row(call.input.as_bytes(), first, out, scratch);
}

/// Bytes of a panel's weights for a quad of inputs.
const LINE: usize = PANEL * QUAD;

/// Channels that are requantised at a time.
const CHANNELS: usize = 4;

/// A matrix product.
pub(in crate::kernels) struct Product<'a> {
    inputs: usize,
    weights: &'a [i8],
    epilogue: Epilogue<'a>,
    requantize: Requantize,
}

impl<'a> Product<'a> {
    pub(in crate::kernels) fn new(
        inputs: usize,
        weights: &'a [i8],
        epilogue: Epilogue<'a>,
    ) -> Self {
        let requantize = Requantize::new(epilogue.output);
        Self {
            inputs,
            weights,
            epilogue,
            requantize,
        }
    }

    /// All `outputs` channels of the pixels of `out`, at most [`ROWS`].
    #[inline(always)]
    pub(in crate::kernels) fn rows(
        &self,
        input: &[u8],
        outputs: usize,
        out: &mut [i8],
        scratch: &mut [u8],
    ) {
        if out.len() == outputs {
            self.row(input, 0, out, scratch);
        } else {
            let quads = self.unpack::<ROWS>(input, scratch);
            self.tiles(quads, 0, out, two_pixels);
        }
    }

    /// The channels of one pixel from the panel `first`.
    #[inline(never)]
    fn row(&self, input: &[u8], first: usize, out: &mut [i8], scratch: &mut [u8]) {
        let quads = self.unpack::<1>(input, scratch);
        self.tiles(quads, first, out, plain);
    }

    /// The channels of `R` pixels from the panel `first`, four at a time.
    #[inline(always)]
    fn tiles<const R: usize>(
        &self,
        quads: &[[Halves; R]],
        first: usize,
        out: &mut [i8],
        compute: Compute<R>,
    ) {
        let channels = out.len() / R;
        let quads = quads.as_ptr_range();
        let weights = self
            .weights
            .chunks_exact((self.inputs.div_ceil(QUAD)) * LINE);
        let panels = self.epilogue.table.iter().zip(weights).skip(first);
        for (start, (panel, weights)) in (0..channels).step_by(PANEL).zip(panels) {
            let mut tile = Tile {
                quads: quads.start,
                end: quads.end,
                weights: weights.as_ptr(),
                multipliers: panel.multiplier.as_ptr().cast(),
                bias: panel.bias.as_ptr().cast(),
                requantize: self.requantize,
            };
            // SAFETY: the panel has so many channels, rounded up, and each of the `R` rows of `out` so many.
            unsafe {
                let mut to = out.as_mut_ptr().add(start);
                let end = to.add((channels - start).min(PANEL));
                while to < end {
                    let bytes = compute(&tile);
                    let left = end.offset_from_unsigned(to);
                    if left < CHANNELS {
                        for (row, bytes) in bytes.iter().enumerate() {
                            let to = to.add(row * channels);
                            to.copy_from_nonoverlapping(bytes.as_ptr(), left);
                        }
                        break;
                    }
                    for (row, bytes) in bytes.into_iter().enumerate() {
                        *to.add(row * channels).cast() = bytes;
                    }
                    to = to.add(CHANNELS);
                    tile.advance();
                }
            }
        }
    }

    /// Unpacks `R` pixels, side by side, to whole quads; what is behind the last input meets weights of zero.
    fn unpack<'s, const R: usize>(&self, input: &[u8], scratch: &'s mut [u8]) -> &'s [[Halves; R]] {
        // SAFETY: words may hold any bytes.
        let quads = unsafe { scratch.align_to_mut::<[Halves; R]>().1 };
        let quads = &mut quads[..self.inputs.div_ceil(QUAD)];
        for (row, pixel) in input.chunks_exact(self.inputs).take(R).enumerate() {
            let (whole, rest) = pixel.as_chunks();
            for (quad, &bytes) in quads.iter_mut().zip(whole) {
                quad[row] = unpack(u32::from_le_bytes(bytes));
            }
            if let Some(last) = quads.get_mut(whole.len()) {
                let mut bytes = [0; QUAD];
                bytes[..rest.len()].copy_from_slice(rest);
                last[row] = unpack(u32::from_le_bytes(bytes));
            }
        }
        quads
    }
}

/// Four channels of `R` pixels.
#[repr(C)]
struct Tile<const R: usize> {
    quads: *const [Halves; R],
    end: *const [Halves; R],
    /// In the first of the panel's lines, of which there is one for each quad.
    weights: *const i8,
    multipliers: *const [f32; CHANNELS],
    bias: *const [i32; CHANNELS],
    requantize: Requantize,
}

/// The outputs of a tile.
///
/// # Safety
/// Its pointers are good; there are quads.
type Compute<const R: usize> = unsafe fn(&Tile<R>) -> [[i8; CHANNELS]; R];

impl<const R: usize> Tile<R> {
    /// Goes to the next channels of the panel.
    #[inline(always)]
    fn advance(&mut self) {
        self.weights = self.weights.wrapping_add(CHANNELS * QUAD);
        self.multipliers = self.multipliers.wrapping_add(1);
        self.bias = self.bias.wrapping_add(1);
    }
}

/// As [`Compute`] says.
#[inline(always)]
unsafe fn plain<const R: usize>(tile: &Tile<R>) -> [[i8; CHANNELS]; R] {
    // SAFETY: by the caller's promise.
    unsafe {
        let mut sums = [*tile.bias; R];
        let (mut quads, mut weights) = (tile.quads, tile.weights);
        while quads < tile.end {
            for column in 0..CHANNELS {
                let halves = unpack(read(weights.add(column * QUAD)));
                for (sums, &inputs) in sums.iter_mut().zip(&*quads) {
                    sums[column] = dot(sums[column], inputs, halves);
                }
            }
            quads = quads.add(1);
            weights = weights.wrapping_add(LINE);
        }
        let mut bytes = [[0; CHANNELS]; R];
        for (bytes, &sums) in bytes.iter_mut().zip(&sums) {
            *bytes = tile.requantize.four(sums, &*tile.multipliers);
        }
        bytes
    }
}

#[cfg(not(all(arm_dsp, target_abi = "eabihf")))]
use plain as two_pixels;

/// Two channels of two pixels: from their bias in `a` and `b` to the sums of the one pixel there, of the other in `c` and
/// `d`.
#[cfg(all(arm_dsp, target_abi = "eabihf"))]
macro_rules! sums {
    () => {
        "
        mov {c}, {a}
        mov {d}, {b}
        2:
        ldm {quad}!, {{r2, r3, r4, r5}}
        ldr {word}, [{weights}, #4]
        sxtb16 {even}, {word}
        sxtb16 {word}, {word}, ror #8
        smlad {b}, r2, {even}, {b}
        smlad {d}, r4, {even}, {d}
        smlad {b}, r3, {word}, {b}
        smlad {d}, r5, {word}, {d}
        ldr {word}, [{weights}], #64
        sxtb16 {even}, {word}
        sxtb16 {word}, {word}, ror #8
        smlad {a}, r2, {even}, {a}
        smlad {c}, r4, {even}, {c}
        smlad {a}, r3, {word}, {a}
        smlad {c}, r5, {word}, {c}
        cmp {quad}, {end}
        bne 2b
        "
    };
}

/// Requantises four sums with the multipliers in `s8` to `s11`, to the bytes of a word.
#[cfg(all(arm_dsp, target_abi = "eabihf"))]
macro_rules! requantize {
    ($s:literal, $t:literal, $u:literal, $v:literal -> $bytes:literal) => {
        concat!(
            "vcvt.f32.s32 ",
            $s,
            ", ",
            $s,
            "\n vcvt.f32.s32 ",
            $t,
            ", ",
            $t,
            "\n",
            "vcvt.f32.s32 ",
            $u,
            ", ",
            $u,
            "\n vcvt.f32.s32 ",
            $v,
            ", ",
            $v,
            "\n",
            "vmul.f32 ",
            $s,
            ", ",
            $s,
            ", s8 \n vmul.f32 ",
            $t,
            ", ",
            $t,
            ", s9 \n",
            "vmul.f32 ",
            $u,
            ", ",
            $u,
            ", s10 \n vmul.f32 ",
            $v,
            ", ",
            $v,
            ", s11 \n",
            "vadd.f32 ",
            $s,
            ", ",
            $s,
            ", s12 \n vadd.f32 ",
            $t,
            ", ",
            $t,
            ", s12 \n",
            "vadd.f32 ",
            $u,
            ", ",
            $u,
            ", s12 \n vadd.f32 ",
            $v,
            ", ",
            $v,
            ", s12 \n",
            "vmov ",
            $bytes,
            ", {b}, ",
            $s,
            ", ",
            $t,
            "\n vmov {c}, {d}, ",
            $u,
            ", ",
            $v,
            "\n",
            "qsub ",
            $bytes,
            ", ",
            $bytes,
            ", {even} \n ssat ",
            $bytes,
            ", #8, ",
            $bytes,
            "\n",
            "qsub {b}, {b}, {even} \n ssat {b}, #8, {b} \n bfi ",
            $bytes,
            ", {b}, #8, #24 \n",
            "qsub {c}, {c}, {even} \n ssat {c}, #8, {c} \n bfi ",
            $bytes,
            ", {c}, #16, #16 \n",
            "qsub {d}, {d}, {even} \n ssat {d}, #8, {d} \n bfi ",
            $bytes,
            ", {d}, #24, #8 \n",
        )
    };
}

/// [`plain`] in one block: of two channels at a time there is a register for all sums and halves, but for nothing else,
/// and the compiler would keep everything between on the stack.
#[cfg(all(arm_dsp, target_abi = "eabihf"))]
#[inline(always)]
unsafe fn two_pixels(tile: &Tile<2>) -> [[i8; CHANNELS]; 2] {
    let (first, second): (u32, u32);
    // SAFETY: `arm_dsp` and the ABI say that the CPU has the instructions; they read what the caller promises.
    unsafe {
        core::arch::asm!(
            "vmov s13, {end}",
            "ldr {word}, [{end}, #{bias}]",
            "ldr {weights}, [{end}, #{panel}]",
            "ldrd {quad}, {end}, [{end}]",
            "ldrd {a}, {b}, [{word}]",
            sums!(),
            "vmov s0, s1, {a}, {b}",
            "vmov s4, s5, {c}, {d}",
            "vmov {end}, s13",
            "ldr {word}, [{end}, #{bias}]",
            "ldr {weights}, [{end}, #{panel}]",
            "ldrd {quad}, {end}, [{end}]",
            "ldrd {a}, {b}, [{word}, #8]",
            "adds {weights}, {weights}, #8",
            sums!(),
            "vmov s2, s3, {a}, {b}",
            "vmov s6, s7, {c}, {d}",
            "vmov {end}, s13",
            "ldr {word}, [{end}, #{multipliers}]",
            "ldr {even}, [{end}, #{zero}]",
            "vldm {word}, {{s8, s9, s10, s11}}",
            "movw {word}, #0",
            "movt {word}, #{no_fraction}",
            "vmov s12, {word}",
            requantize!("s0", "s1", "s2", "s3" -> "{a}"),
            requantize!("s4", "s5", "s6", "s7" -> "{quad}"),
            bias = const offset_of!(Tile<2>, bias),
            panel = const offset_of!(Tile<2>, weights),
            multipliers = const offset_of!(Tile<2>, multipliers),
            zero = const offset_of!(Tile<2>, requantize.zero),
            no_fraction = const Requantize::NO_FRACTION.to_bits() >> 16,
            end = inout(reg) tile => _, quad = out(reg) second, weights = out(reg) _,
            a = out(reg) first, b = out(reg) _, c = out(reg) _, d = out(reg) _,
            word = out(reg) _, even = out(reg) _,
            out("r2") _, out("r3") _, out("r4") _, out("r5") _,
            out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("s6") _,
            out("s7") _, out("s8") _, out("s9") _, out("s10") _, out("s11") _, out("s12") _, out("s13") _,
            options(pure, readonly, nostack));
    }
    [tile.requantize.bound(first), tile.requantize.bound(second)]
}
