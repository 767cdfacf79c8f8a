//! Layers with windows of 3 x 3 that are at most one row and one column off the input. They are moved onto it, and their
//! weights as far the other way: zeros of the frame around the weights meet the inputs that are not of the window.

use super::{Strip, WORD};
use crate::kernels::int8::Conv;
use crate::kernels::int8::epilogue::cortex_m::Range;
#[cfg(not(all(arm_dsp, target_abi = "eabihf")))]
use crate::kernels::int8::epilogue::cortex_m::Requantize;
use crate::kernels::isa::cortex_m::Halves;
#[cfg(not(all(arm_dsp, target_abi = "eabihf")))]
use crate::kernels::isa::cortex_m::multiply_four;
use crate::kernels::window::Sliding;

/// Weights in a row: three, and a frame of one around them.
const PITCH: usize = 5;

/// Such a layer.
pub(super) struct Framed {
    sliding: Sliding,
    /// Those of a row: its first column, those that need not be moved, its last. There may be fewer.
    runs: [Run; 3],
}

/// Windows side by side with the same weights, in bytes.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Run {
    /// From the row of the input to the first window.
    input: usize,
    /// From the weights of windows that are moved to the left to those of these.
    weights: usize,
    /// Of their outputs.
    length: usize,
}

/// What the windows of four channels have in common.
#[repr(C)]
struct Windows<'a> {
    start: [i32; WORD],
    channels: usize,
    multipliers: &'a [f32; WORD],
    range: Option<&'a Range>,
    offset: u32,
    /// Bytes from one row of the input to the next.
    row: usize,
    /// Bytes from the last row of a window to the first of the next one, wrapping.
    back: usize,
    runs: &'a [Run; 3],
}

impl Framed {
    /// None if the layer is another.
    pub(super) fn new(call: &Conv, sliding: Sliding) -> Option<Self> {
        let Sliding { window, pad, .. } = sliding;
        let [height, width] = [call.output_shape.height, call.output_shape.width];
        let fits = |axis: usize, length: usize| {
            let last = length.saturating_sub(1) * window.stride[axis];
            let size = sliding.size(axis);
            size >= 3 && pad[axis] <= 1 && last + 2 <= size + pad[axis]
        };
        if window.kernel != [3, 3] || !fits(0, height) || !fits(1, width) {
            return None;
        }
        let runs = [Run::default(); 3];
        let mut framed = Self { sliding, runs };
        let inside = sliding.inside(1, width);
        let channels = sliding.input.channels;
        let mut x = 0;
        for i in 0..framed.runs.len() {
            if x < width {
                let [start, skip] = framed.place(1, x);
                let end = if inside.contains(&x) {
                    inside.end
                } else {
                    x + 1
                };
                framed.runs[i] = Run {
                    input: start * channels,
                    weights: skip * size_of::<Halves>(),
                    length: (end - x) * channels,
                };
                x = end;
            }
        }
        Some(framed)
    }

    /// Output rows from `first` of four channels.
    #[inline(never)]
    pub(super) fn strip(&self, strip: &Strip, first: usize, out: &mut [i8]) {
        let Sliding { input, window, .. } = self.sliding;
        let row = input.width * input.channels;
        let windows = Windows {
            start: strip.start,
            channels: input.channels,
            multipliers: strip.multipliers,
            range: strip.requantize.range.as_ref(),
            offset: strip.offset,
            row,
            back: (window.stride[1] * input.channels).wrapping_sub(2 * row),
            runs: &self.runs,
        };
        let length = strip.call.output_shape.width * input.channels;
        for (y, out) in (first..).zip(out.chunks_exact_mut(length)) {
            let [start, skip] = self.place(0, y);
            let input = strip.call.input.as_ptr();
            let input = input.wrapping_add(start * row + strip.channel);
            let weights = strip.weights.as_ptr().wrapping_add(skip * PITCH);
            let to = out.as_mut_ptr().wrapping_add(strip.channel);
            let end = to.wrapping_add(length);
            // SAFETY: the windows are on the input, their weights or those of the frame are there, and four channels.
            unsafe { run(&windows, input, weights, to, end) };
        }
    }

    /// Of output position `index` of an axis: where the window is moved to, and the first of the framed weights.
    #[inline(always)]
    fn place(&self, axis: usize, index: usize) -> [usize; 2] {
        let Sliding { window, pad, .. } = self.sliding;
        let corner = index * window.stride[axis];
        let last = self.sliding.size(axis) - window.kernel[axis];
        let start = corner.saturating_sub(pad[axis]).min(last);
        [start, start + pad[axis] + 1 - corner]
    }
}

/// Computes the windows of a row of the input, with the weights from the given ones, and writes four channels of each from
/// `to` until `end`.
///
/// # Safety
/// Inputs and weights of all windows are there, and room for their outputs.
#[cfg(not(all(arm_dsp, target_abi = "eabihf")))]
unsafe fn run(
    windows: &Windows,
    input: *const i8,
    weights: *const Halves,
    mut to: *mut i8,
    end: *mut i8,
) {
    let range = windows.range.copied();
    let requantize = Requantize { range };
    for run in windows.runs {
        let mut from = input.wrapping_add(run.input);
        let weights = weights.wrapping_byte_add(run.weights);
        let behind = to.wrapping_add(run.length);
        while to != behind {
            let mut sums = windows.start;
            for row in 0..3 {
                let (mut tap, mut weights) = (from, weights.wrapping_add(PITCH * row));
                for _ in 0..3 {
                    let (step, offset) = (windows.channels, windows.offset);
                    // SAFETY: by the caller's promise.
                    sums = unsafe { multiply_four(sums, &mut tap, step, offset, &mut weights) };
                }
                from = from.wrapping_add(if row < 2 { windows.row } else { windows.back });
            }
            // SAFETY: by the caller's promise.
            unsafe { *to.cast() = requantize.four(sums, windows.multipliers) };
            to = to.wrapping_add(windows.channels);
        }
    }
    debug_assert_eq!(to, end);
}

/// Adds the products of a tap of four channels: the sums are in `r4` to `r7`.
#[cfg(all(arm_dsp, target_abi = "eabihf"))]
macro_rules! tap {
    ($from:literal, $weights:literal) => {
        concat!(
            "ldr r10, ",
            $from,
            "\n ldrd r12, lr, ",
            $weights,
            "
            sxtab16 r11, r8, r10
            sxtab16 r10, r8, r10, ror #8
            smlabb r4, r11, r12, r4
            smlatt r6, r11, r12, r6
            smlabb r5, r10, lr, r5
            smlatt r7, r10, lr, r7
            ",
        )
    };
}

/// Packs four bytes.
#[cfg(all(arm_dsp, target_abi = "eabihf"))]
macro_rules! pack {
    () => {
        "
        usat r4, #8, r4; usat r5, #8, r5; usat r6, #8, r6; usat r7, #8, r7
        orr r4, r4, r5, lsl #8; orr r6, r6, r7, lsl #8; orr r4, r4, r6, lsl #16
        eor r4, r4, #0x80808080
        "
    };
}

/// The same in assembly, by the rule of [`Requantize`](crate::kernels::int8::epilogue::cortex_m::Requantize): all registers
/// are taken, and the compiler would keep a part of the sums and pointers on the stack.
#[cfg(all(arm_dsp, target_abi = "eabihf"))]
#[inline(always)]
unsafe fn run(
    windows: &Windows,
    input: *const i8,
    weights: *const Halves,
    to: *mut i8,
    end: *mut i8,
) {
    const { assert!(PITCH * size_of::<Halves>() == 40) };
    // SAFETY: `arm_dsp` and the ABI say that the CPU has the instructions; they read and write what the caller promises,
    // and give back the registers that the compiler keeps for itself.
    unsafe {
        core::arch::asm!(
            "push {{r1, r2, r6, r7, r12}}",
            "vldm r0!, {{s8, s9, s10, s11}}",
            "ldm r0, {{r0, r4, r5, r8, r9, r10, r11}}",
            "vldm r4, {{s4, s5, s6, s7}}",
            "vmov s13, r10",
            "vmov s14, r5",
            "vmov s15, r11",
            "2:",
            "vmov r10, s15",
            "ldm r10!, {{r4, r5, r11}}",
            "vmov s15, r10",
            "ldrd r1, r2, [sp]",
            "add r1, r1, r4",
            "add r2, r2, r5",
            "add r11, r11, r3",
            "vmov s12, r11",
            "3:",
            "vmov r4, r5, s8, s9",
            "vmov r6, r7, s10, s11",
            tap!("[r1]", "[r2]"),
            tap!("[r1, r0]", "[r2, #8]"),
            tap!("[r1, r0, lsl #1]", "[r2, #16]"),
            "add r1, r1, r9",
            tap!("[r1]", "[r2, #40]"),
            tap!("[r1, r0]", "[r2, #48]"),
            tap!("[r1, r0, lsl #1]", "[r2, #56]"),
            "add r1, r1, r9",
            tap!("[r1]", "[r2, #80]"),
            tap!("[r1, r0]", "[r2, #88]"),
            tap!("[r1, r0, lsl #1]", "[r2, #96]"),
            "vmov r10, s13",
            "add r1, r1, r10",
            "vmov s0, s1, r4, r5",
            "vmov s2, s3, r6, r7",
            "vcvt.f32.s32 s0, s0; vcvt.f32.s32 s1, s1; vcvt.f32.s32 s2, s2; vcvt.f32.s32 s3, s3",
            "vmul.f32 s0, s0, s4; vmul.f32 s1, s1, s5; vmul.f32 s2, s2, s6; vmul.f32 s3, s3, s7",
            "vcvtr.s32.f32 s0, s0; vcvtr.s32.f32 s1, s1; vcvtr.s32.f32 s2, s2; vcvtr.s32.f32 s3, s3",
            "vmov r4, r5, s0, s1",
            "vmov r6, r7, s2, s3",
            "vmov r10, s14",
            "cmp r10, #0",
            "bne 5f",
            pack!(),
            "4:",
            "str r4, [r3]",
            "add r3, r3, r0",
            "vmov r10, s12",
            "cmp r3, r10",
            "bne 3b",
            "ldr r10, [sp, #16]",
            "cmp r3, r10",
            "bne 2b",
            "b 6f",
            "5:",
            "ldm r10, {{r10, r11, r12}}",
            "qadd r4, r4, r10; qadd r5, r5, r10; qadd r6, r6, r10; qadd r7, r7, r10",
            pack!(),
            "ssub8 lr, r4, r11; sel r4, r4, r11; ssub8 lr, r12, r4; sel r4, r4, r12",
            "b 4b",
            "6:",
            "pop {{r1, r2, r6, r7, r12}}",
            inout("r0") windows => _, in("r1") input, in("r2") weights, inout("r3") to => _, in("r12") end,
            out("r4") _, out("r5") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("lr") _,
            out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("s6") _, out("s7") _,
            out("s8") _, out("s9") _, out("s10") _, out("s11") _, out("s12") _, out("s13") _, out("s14") _, out("s15") _,
        );
    }
}
