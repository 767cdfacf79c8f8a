//! Four pixels by two channels at a time, or two by four, in assembly: with eight sums, two words of weights and two of
//! inputs all registers are taken, and the compiler would keep a part of them on the stack.

use core::mem::offset_of;

use graft_patches::layout::PANEL;
use graft_patches::requantize::RequantizePanel;

use super::{PAIR, Panel, Quad};
use crate::kernels::int8::epilogue::cortex_m::Range;

/// Pixels of the larger tile.
pub(super) const ROWS: usize = 4;

/// Sums of a tile: pixels times channels.
const SUMS: usize = 8;

/// As [`Compute`](super::Compute) says, for [`ROWS`] pixels or [`PAIR`].
///
/// # Safety
/// As there; the weights are words.
#[inline(always)]
pub(super) unsafe fn panel<const R: usize>(
    panel: &Panel<R>,
    to: *mut i8,
    pitch: usize,
    channels: usize,
) {
    let whole = channels.next_multiple_of(SUMS / R);
    if channels == whole {
        // SAFETY: by the caller's promise.
        unsafe { run(panel, to, pitch, channels) };
        return;
    }
    let mut spare = [[0; PANEL]; R];
    // SAFETY: a panel has room for the channels of whole tiles.
    unsafe { run(panel, spare.as_mut_ptr().cast(), PANEL, whole) };
    for (row, bytes) in spare.iter().enumerate() {
        // SAFETY: by the caller's promise.
        unsafe {
            to.add(row * pitch)
                .copy_from_nonoverlapping(bytes.as_ptr(), channels);
        }
    }
}

/// [`panel`] of the channels of whole tiles.
#[inline(always)]
unsafe fn run<const R: usize>(panel: &Panel<R>, to: *mut i8, pitch: usize, channels: usize) {
    let quads = panel.quads.as_ptr_range();
    let mut tile = Tile {
        quads: quads.start.cast(),
        weights: panel.weights,
        table: panel.table.multiplier.as_ptr(),
        entry: 0,
        to,
        pitch,
        range: panel.requantize.range.as_ref(),
        end: to.wrapping_add(channels),
        quads_end: quads.end.cast(),
    };
    const { assert!(R == ROWS || R == PAIR) };
    // SAFETY: by the caller's promise.
    unsafe {
        match R {
            ROWS => four(&mut tile),
            _ => two(&mut tile),
        }
    }
}

/// What [`four`] and [`two`] work on.
#[repr(C)]
struct Tile<'a> {
    /// Of all pixels of the tile.
    quads: *const u32,
    /// Of the channels of the next tile, as the three that follow.
    weights: *const i8,
    /// The multiplier, and its panel behind it.
    table: *const f32,
    /// Where the loop over the quads is entered.
    entry: usize,
    to: *mut i8,
    pitch: usize,
    range: Option<&'a Range>,
    /// Behind the last channel of the first pixel.
    end: *mut i8,
    quads_end: *const u32,
}

/// Adds the products of four pixels and a half of two weights, inputs 0 and 2 or 1 and 3.
macro_rules! half_of_four {
    () => {
        "
        ldrd r12, lr, [r0], #8
        smlad r4, r12, r2, r4
        smlad r5, r12, r3, r5
        smlad r6, lr, r2, r6
        smlad r7, lr, r3, r7
        ldrd r12, lr, [r0], #8
        smlad r8, r12, r2, r8
        smlad r9, r12, r3, r9
        smlad r10, lr, r2, r10
        smlad r11, lr, r3, r11
        "
    };
}

/// Adds the products of a quad of four pixels and two channels.
macro_rules! quad_of_four {
    () => {
        concat!(
            "
            ldrd r2, r3, [r1]
            sxtb16 r2, r2
            sxtb16 r3, r3
            ",
            half_of_four!(),
            "
            ldrd r2, r3, [r1], #64
            sxtb16 r2, r2, ror #8
            sxtb16 r3, r3, ror #8
            ",
            half_of_four!(),
        )
    };
}

/// Adds the products of a quad of two pixels and four channels.
macro_rules! quad_of_two {
    () => {
        "
        ldrd r2, r3, [r0], #8
        ldrd r12, lr, [r1]
        sxtb16 r12, r12
        sxtb16 lr, lr
        smlad r4, r2, r12, r4
        smlad r5, r2, lr, r5
        smlad r8, r3, r12, r8
        smlad r9, r3, lr, r9
        ldrd r12, lr, [r1, #8]
        sxtb16 r12, r12
        sxtb16 lr, lr
        smlad r6, r2, r12, r6
        smlad r7, r2, lr, r7
        smlad r10, r3, r12, r10
        smlad r11, r3, lr, r11
        ldrd r2, r3, [r0], #8
        ldrd r12, lr, [r1, #8]
        sxtb16 r12, r12, ror #8
        sxtb16 lr, lr, ror #8
        smlad r6, r2, r12, r6
        smlad r7, r2, lr, r7
        smlad r10, r3, r12, r10
        smlad r11, r3, lr, r11
        ldrd r12, lr, [r1], #64
        sxtb16 r12, r12, ror #8
        sxtb16 lr, lr, ror #8
        smlad r4, r2, r12, r4
        smlad r5, r2, lr, r5
        smlad r8, r3, r12, r8
        smlad r9, r3, lr, r9
        "
    };
}

/// Packs neighbouring channels in pairs.
macro_rules! pack {
    () => {
        "
        usat r4, #8, r4; usat r5, #8, r5; usat r6, #8, r6; usat r7, #8, r7
        usat r8, #8, r8; usat r9, #8, r9; usat r10, #8, r10; usat r11, #8, r11
        orr r4, r4, r5, lsl #8; orr r6, r6, r7, lsl #8
        orr r8, r8, r9, lsl #8; orr r10, r10, r11, lsl #8
        "
    };
}

/// Packs the two channels of each of four pixels.
macro_rules! pack_four {
    () => {
        concat!(
            pack!(),
            "
            eor r4, r4, #0x80808080; eor r6, r6, #0x80808080
            eor r8, r8, #0x80808080; eor r10, r10, #0x80808080
            "
        )
    };
}

/// Packs the four channels of each of two pixels.
macro_rules! pack_two {
    () => {
        concat!(
            pack!(),
            "
            orr r4, r4, r6, lsl #16; orr r8, r8, r10, lsl #16
            eor r4, r4, #0x80808080; eor r8, r8, #0x80808080
            "
        )
    };
}

/// Tiles until the end of a panel, by the rule of [`Requantize`](crate::kernels::int8::epilogue::cortex_m::Requantize), of
/// so many pixels.
///
/// Sums are in `r4` to `r11`, the channels of a pixel side by side; inputs are read at `r0`, weights at `r1`.
macro_rules! tiles {
    (
        $name:ident, $pixels:ident, $quad:ident, $instructions:literal, $pack:ident,
        multipliers $multipliers:literal, products $products:literal, store $store:literal, bound $bound:literal
    ) => {
        /// # Safety
        /// The pointers of the tile are good, and there are quads and channels.
        #[inline(never)]
        unsafe fn $name(tile: &mut Tile) {
            const CHANNELS: usize = SUMS / $pixels;
            // SAFETY: `arm_dsp` and the ABI say that the CPU has the instructions; they read and write what the caller
            // promises, and give back the registers that the compiler keeps for itself.
            unsafe {
                core::arch::asm!(
                    "push {{r0, r6, r7}}",
                    // Of the four quads of a round the first does not need all: it begins behind those.
                    "ldr r1, [r0, #{quads}]",
                    "ldr r2, [r0, #{quads_end}]",
                    "vmov s15, r2",
                    "subs r1, r1, r2",
                    "ubfx r1, r1, #{quad_shift}, #2",
                    "movs r2, #{quad_code}",
                    "adr.w r3, 3f",
                    "mla r1, r1, r2, r3",
                    "orr r1, r1, #1",
                    "str r1, [r0, #{entry}]",
                    "2:",
                    "ldr r3, [sp]",
                    "ldm r3, {{r0, r1, r2, r3}}",
                    "ldrd r4, r5, [r2, #{bias}]",
                    "ldrd r6, r7, [r2, #{bias_1}]",
                    "ldrd r8, r9, [r2, #{bias}]",
                    "ldrd r10, r11, [r2, #{bias_1}]",
                    "bx r3",
                    ".p2align 2",
                    "3:",
                    $quad!(),
                    $quad!(),
                    $quad!(),
                    $quad!(),
                    "vmov r2, s15",
                    "cmp r0, r2",
                    "bne 3b",
                    "vmov s0, s1, r4, r5",
                    "vmov s2, s3, r6, r7",
                    "vmov s4, s5, r8, r9",
                    "vmov s6, s7, r10, r11",
                    "ldr r0, [sp]",
                    "ldrd r1, r2, [r0, #{weights}]",
                    "adds r1, #{channels} * 4",
                    $multipliers,
                    "strd r1, r2, [r0, #{weights}]",
                    "vcvt.f32.s32 s0, s0; vcvt.f32.s32 s1, s1; vcvt.f32.s32 s2, s2; vcvt.f32.s32 s3, s3",
                    "vcvt.f32.s32 s4, s4; vcvt.f32.s32 s5, s5; vcvt.f32.s32 s6, s6; vcvt.f32.s32 s7, s7",
                    $products,
                    "vcvtr.s32.f32 s0, s0; vcvtr.s32.f32 s1, s1; vcvtr.s32.f32 s2, s2; vcvtr.s32.f32 s3, s3",
                    "vcvtr.s32.f32 s4, s4; vcvtr.s32.f32 s5, s5; vcvtr.s32.f32 s6, s6; vcvtr.s32.f32 s7, s7",
                    "vmov r4, r5, s0, s1",
                    "vmov r6, r7, s2, s3",
                    "vmov r8, r9, s4, s5",
                    "vmov r10, r11, s6, s7",
                    "ldr r3, [r0, #{range}]",
                    "cmp r3, #0",
                    "bne 5f",
                    $pack!(),
                    "4:",
                    "ldrd r1, r2, [r0, #{to}]",
                    "ldr r3, [r0, #{end}]",
                    $store,
                    "adds r1, #{channels}",
                    "str r1, [r0, #{to}]",
                    "cmp r1, r3",
                    "bne 2b",
                    "b 6f",
                    "5:",
                    "ldm r3, {{r1, r2, r3}}",
                    "qadd r4, r4, r1; qadd r5, r5, r1; qadd r6, r6, r1; qadd r7, r7, r1",
                    "qadd r8, r8, r1; qadd r9, r9, r1; qadd r10, r10, r1; qadd r11, r11, r1",
                    $pack!(),
                    $bound,
                    "b 4b",
                    "6:",
                    "pop {{r0, r6, r7}}",
                    quads = const offset_of!(Tile, quads),
                    weights = const offset_of!(Tile, weights),
                    entry = const offset_of!(Tile, entry),
                    to = const offset_of!(Tile, to),
                    range = const offset_of!(Tile, range),
                    end = const offset_of!(Tile, end),
                    quads_end = const offset_of!(Tile, quads_end),
                    bias = const offset_of!(RequantizePanel, bias),
                    // Of the second pixel, or of the third channel of the first one.
                    bias_1 = const offset_of!(RequantizePanel, bias) + (CHANNELS - 2) * size_of::<i32>(),
                    channels = const CHANNELS,
                    quad_shift = const size_of::<Quad<$pixels>>().ilog2(),
                    quad_code = const 4 * $instructions,
                    in("r0") tile,
                    out("r1") _, out("r2") _, out("r3") _, out("r4") _, out("r5") _, out("r8") _, out("r9") _,
                    out("r10") _, out("r11") _, out("r12") _, out("lr") _,
                    out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("s6") _, out("s7") _,
                    out("s8") _, out("s9") _, out("s10") _, out("s11") _, out("s15") _,
                );
            }
        }
    };
}

tiles!(
    four, ROWS, quad_of_four, 26, pack_four,
    multipliers "vldm r2!, {{s8, s9}}",
    products "
        vmul.f32 s0, s0, s8; vmul.f32 s1, s1, s9; vmul.f32 s2, s2, s8; vmul.f32 s3, s3, s9
        vmul.f32 s4, s4, s8; vmul.f32 s5, s5, s9; vmul.f32 s6, s6, s8; vmul.f32 s7, s7, s9
    ",
    store "
        strh r4, [r1]
        strh r6, [r1, r2]
        strh r8, [r1, r2, lsl #1]
        add r2, r2, r2, lsl #1
        strh r10, [r1, r2]
    ",
    bound "
        ssub8 r1, r4, r2; sel r4, r4, r2; ssub8 r1, r3, r4; sel r4, r4, r3
        ssub8 r1, r6, r2; sel r6, r6, r2; ssub8 r1, r3, r6; sel r6, r6, r3
        ssub8 r1, r8, r2; sel r8, r8, r2; ssub8 r1, r3, r8; sel r8, r8, r3
        ssub8 r1, r10, r2; sel r10, r10, r2; ssub8 r1, r3, r10; sel r10, r10, r3
    "
);

tiles!(
    two, PAIR, quad_of_two, 30, pack_two,
    multipliers "vldm r2!, {{s8, s9, s10, s11}}",
    products "
        vmul.f32 s0, s0, s8; vmul.f32 s1, s1, s9; vmul.f32 s2, s2, s10; vmul.f32 s3, s3, s11
        vmul.f32 s4, s4, s8; vmul.f32 s5, s5, s9; vmul.f32 s6, s6, s10; vmul.f32 s7, s7, s11
    ",
    store "
        str r4, [r1]
        str r8, [r1, r2]
    ",
    bound "
        ssub8 r1, r4, r2; sel r4, r4, r2; ssub8 r1, r3, r4; sel r4, r4, r3
        ssub8 r1, r8, r2; sel r8, r8, r2; ssub8 r1, r3, r8; sel r8, r8, r3
    "
);
