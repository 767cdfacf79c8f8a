//! Four pixels by two channels at a time, in assembly: with eight sums, two words of weights and two of inputs all registers
//! are taken, and the compiler would keep a part of them on the stack.

use core::mem::offset_of;

use graft_patches::layout::PANEL;
use graft_patches::requantize::RequantizePanel;

use super::{Panel, Quad};
use crate::kernels::int8::epilogue::cortex_m::Range;

/// Pixels of a tile.
pub(super) const ROWS: usize = 4;

/// As [`Compute`](super::Compute) says.
///
/// # Safety
/// As there; the weights are words.
#[inline(always)]
pub(super) unsafe fn panel(panel: &Panel<ROWS>, to: *mut i8, pitch: usize, channels: usize) {
    if channels.is_multiple_of(2) {
        // SAFETY: by the caller's promise.
        unsafe { run(panel, to, pitch, channels) };
        return;
    }
    let mut spare = [[0; PANEL]; ROWS];
    // SAFETY: a panel has room for one more channel.
    unsafe { run(panel, spare.as_mut_ptr().cast(), PANEL, channels + 1) };
    for (row, bytes) in spare.iter().enumerate() {
        // SAFETY: by the caller's promise.
        unsafe {
            to.add(row * pitch)
                .copy_from_nonoverlapping(bytes.as_ptr(), channels);
        }
    }
}

/// [`panel`] of an even number of channels.
#[inline(always)]
unsafe fn run(panel: &Panel<ROWS>, to: *mut i8, pitch: usize, channels: usize) {
    let quads = panel.quads.as_ptr_range();
    let mut tile = Tile {
        quads: quads.start,
        weights: panel.weights,
        table: panel.table.multiplier.as_ptr(),
        entry: 0,
        to,
        pitch,
        range: panel.requantize.range.as_ref(),
        end: to.wrapping_add(channels),
        quads_end: quads.end,
    };
    // SAFETY: by the caller's promise.
    unsafe { tiles(&mut tile) };
}

/// What [`tiles`] works on.
#[repr(C)]
struct Tile<'a> {
    quads: *const Quad<ROWS>,
    /// Of the next two channels, as the three that follow.
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
    quads_end: *const Quad<ROWS>,
}

/// Adds the products of the four pixels and a half of each weight, inputs 0 and 2 or 1 and 3.
macro_rules! half {
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

/// Adds the products of a quad.
macro_rules! quad {
    () => {
        concat!(
            "
            ldrd r2, r3, [r1]
            sxtb16 r2, r2
            sxtb16 r3, r3
            ",
            half!(),
            "
            ldrd r2, r3, [r1], #64
            sxtb16 r2, r2, ror #8
            sxtb16 r3, r3, ror #8
            ",
            half!(),
        )
    };
}

/// Bytes of the instructions of `quad`.
const QUAD_CODE: usize = 26 * 4;

/// Packs the two channels of each pixel.
macro_rules! pack {
    () => {
        "
        usat r4, #8, r4; usat r5, #8, r5; usat r6, #8, r6; usat r7, #8, r7
        usat r8, #8, r8; usat r9, #8, r9; usat r10, #8, r10; usat r11, #8, r11
        orr r4, r4, r5, lsl #8; orr r6, r6, r7, lsl #8
        orr r8, r8, r9, lsl #8; orr r10, r10, r11, lsl #8
        eor r4, r4, #0x80808080; eor r6, r6, #0x80808080
        eor r8, r8, #0x80808080; eor r10, r10, #0x80808080
        "
    };
}

/// Tiles until the end of a panel, by the rule of [`Requantize`](crate::kernels::int8::epilogue::cortex_m::Requantize).
///
/// Sums are in `r4` to `r11`, two channels of a pixel side by side; inputs are read at `r0`, weights at `r1`.
///
/// # Safety
/// The pointers of the tile are good, and there are quads and channels.
#[inline(never)]
unsafe fn tiles(tile: &mut Tile) {
    // SAFETY: `arm_dsp` and the ABI say that the CPU has the instructions; they read and write what the caller promises,
    // and give back the registers that the compiler keeps for itself.
    unsafe {
        core::arch::asm!(
            "push {{r0, r6, r7}}",
            // Of the four quads of a round the first does not need all: it begins behind those.
            "ldr r1, [r0, #{quads}]",
            "ldr r2, [r0, #{quads_end}]",
            "vmov s15, r2",
            "subs r1, r1, r2",
            "ubfx r1, r1, #5, #2",
            "movs r2, #{quad_code}",
            "adr.w r3, 3f",
            "mla r1, r1, r2, r3",
            "orr r1, r1, #1",
            "str r1, [r0, #{entry}]",
            "2:",
            "ldr r3, [sp]",
            "ldm r3, {{r0, r1, r2, r3}}",
            "ldrd r4, r5, [r2, #{bias}]",
            "ldrd r6, r7, [r2, #{bias}]",
            "ldrd r8, r9, [r2, #{bias}]",
            "ldrd r10, r11, [r2, #{bias}]",
            "bx r3",
            ".p2align 2",
            "3:",
            quad!(),
            quad!(),
            quad!(),
            quad!(),
            "vmov r2, s15",
            "cmp r0, r2",
            "bne 3b",
            "vmov s0, s1, r4, r5",
            "vmov s2, s3, r6, r7",
            "vmov s4, s5, r8, r9",
            "vmov s6, s7, r10, r11",
            "ldr r0, [sp]",
            "ldrd r1, r2, [r0, #{weights}]",
            "adds r1, #8",
            "vldm r2!, {{s8, s9}}",
            "strd r1, r2, [r0, #{weights}]",
            "vcvt.f32.s32 s0, s0; vcvt.f32.s32 s1, s1; vcvt.f32.s32 s2, s2; vcvt.f32.s32 s3, s3",
            "vcvt.f32.s32 s4, s4; vcvt.f32.s32 s5, s5; vcvt.f32.s32 s6, s6; vcvt.f32.s32 s7, s7",
            "vmul.f32 s0, s0, s8; vmul.f32 s1, s1, s9; vmul.f32 s2, s2, s8; vmul.f32 s3, s3, s9",
            "vmul.f32 s4, s4, s8; vmul.f32 s5, s5, s9; vmul.f32 s6, s6, s8; vmul.f32 s7, s7, s9",
            "vcvtr.s32.f32 s0, s0; vcvtr.s32.f32 s1, s1; vcvtr.s32.f32 s2, s2; vcvtr.s32.f32 s3, s3",
            "vcvtr.s32.f32 s4, s4; vcvtr.s32.f32 s5, s5; vcvtr.s32.f32 s6, s6; vcvtr.s32.f32 s7, s7",
            "vmov r4, r5, s0, s1",
            "vmov r6, r7, s2, s3",
            "vmov r8, r9, s4, s5",
            "vmov r10, r11, s6, s7",
            "ldr r3, [r0, #{range}]",
            "cmp r3, #0",
            "bne 5f",
            pack!(),
            "4:",
            "ldrd r1, r2, [r0, #{to}]",
            "ldr r3, [r0, #{end}]",
            "strh r4, [r1]",
            "strh r6, [r1, r2]",
            "strh r8, [r1, r2, lsl #1]",
            "add r2, r2, r2, lsl #1",
            "strh r10, [r1, r2]",
            "adds r1, #2",
            "str r1, [r0, #{to}]",
            "cmp r1, r3",
            "bne 2b",
            "b 6f",
            "5:",
            "ldm r3, {{r1, r2, r3}}",
            "qadd r4, r4, r1; qadd r5, r5, r1; qadd r6, r6, r1; qadd r7, r7, r1",
            "qadd r8, r8, r1; qadd r9, r9, r1; qadd r10, r10, r1; qadd r11, r11, r1",
            pack!(),
            "ssub8 r1, r4, r2; sel r4, r4, r2; ssub8 r1, r3, r4; sel r4, r4, r3",
            "ssub8 r1, r6, r2; sel r6, r6, r2; ssub8 r1, r3, r6; sel r6, r6, r3",
            "ssub8 r1, r8, r2; sel r8, r8, r2; ssub8 r1, r3, r8; sel r8, r8, r3",
            "ssub8 r1, r10, r2; sel r10, r10, r2; ssub8 r1, r3, r10; sel r10, r10, r3",
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
            quad_code = const QUAD_CODE,
            in("r0") tile,
            out("r1") _, out("r2") _, out("r3") _, out("r4") _, out("r5") _, out("r8") _, out("r9") _, out("r10") _,
            out("r11") _, out("r12") _, out("lr") _,
            out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("s6") _, out("s7") _,
            out("s8") _, out("s9") _, out("s15") _,
        );
    }
}
