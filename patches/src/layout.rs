//! The packed layout of weights: the same on disk, in memory and in flash, on x86-64, AArch64 and Cortex-M.
//!
//! * dense weights: panels of [`PANEL`] output channels, `[ceil(N/16)][K][16]`, K running over (kernel row, kernel
//!   column, input channel);
//! * depthwise weights: `[kh][kw][C]`, C padded to a multiple of 16;
//! * epilogue: `[ceil(N/16)][2][16]`, 16 scales, then 16 biases.
//!
//! In int8 the weights are bytes: depthwise as above; dense `[ceil(N/16)][ceil(K/4)][16][4]`, so that one line of 64 bytes
//! is 16 channels by 4 inputs, for dot products of four bytes (VNNI, SDOT, a pair of SMLAD). The epilogue is a
//! [`RequantizePanel`](crate::requantize::RequantizePanel) for each 16 channels, or a
//! [`HalfPanel`](crate::half_table::HalfPanel) that one is made of.
//!
//! Padded lanes hold zeros.

/// Output channels in one panel.
pub const PANEL: usize = 16;

/// Channels rounded up to whole panels.
pub const fn padded(channels: usize) -> usize {
    channels.saturating_add(PANEL - 1) / PANEL * PANEL
}

/// Values of packed weights: `depth` of each output channel, channels padded to whole panels. The same for panels and
/// for depthwise weights.
pub const fn weights_len(outputs: usize, depth: usize) -> usize {
    padded(outputs).saturating_mul(depth)
}

/// Values of a packed epilogue.
pub const fn epilogue_len(outputs: usize) -> usize {
    padded(outputs).saturating_mul(2)
}

/// Index of weight (channel, k) in packed dense weights of this depth.
pub const fn dense_index(channel: usize, k: usize, depth: usize) -> usize {
    (channel / PANEL * depth + k) * PANEL + channel % PANEL
}

/// Inputs of one output channel that lie side by side in packed dense weights of int8.
pub const QUAD: usize = 4;

/// Bytes of packed dense weights of int8: `depth` of each output channel, rounded up to whole quads, channels to panels.
pub const fn quad_weights_len(outputs: usize, depth: usize) -> usize {
    weights_len(outputs, depth.div_ceil(QUAD)).saturating_mul(QUAD)
}

/// Index of weight (channel, k) in packed dense weights of int8 of this depth.
pub const fn quad_index(channel: usize, k: usize, depth: usize) -> usize {
    dense_index(channel, k / QUAD, depth.div_ceil(QUAD)) * QUAD + k % QUAD
}

/// Sum of the packed weights of int8 of each output channel of one panel.
pub fn int8_weight_sums(
    packed: &[i8],
    panel: usize,
    outputs: usize,
    depth: usize,
    is_depthwise: bool,
) -> [i32; PANEL] {
    let mut sums = [0; PANEL];
    let first = panel * PANEL;
    if is_depthwise {
        for row in packed.chunks_exact(padded(outputs)) {
            for (sum, &weight) in sums.iter_mut().zip(&row[first..][..PANEL]) {
                *sum += i32::from(weight);
            }
        }
    } else {
        let quads = quad_weights_len(PANEL, depth);
        for line in packed[panel * quads..][..quads].chunks_exact(PANEL * QUAD) {
            for (sum, quad) in sums.iter_mut().zip(line.chunks_exact(QUAD)) {
                *sum += quad.iter().map(|&weight| i32::from(weight)).sum::<i32>();
            }
        }
    }
    sums
}

/// Index of weight (channel, tap) in packed depthwise weights.
pub const fn depthwise_index(channel: usize, tap: usize, channels: usize) -> usize {
    tap * padded(channels) + channel
}

/// Index of a channel's scale in a packed epilogue; its bias is [`PANEL`] behind.
pub const fn scale_index(channel: usize) -> usize {
    channel / PANEL * 2 * PANEL + channel % PANEL
}

/// Packs a depthwise `[channels][taps]` or dense `[outputs][depth]` matrix.
#[cfg(feature = "alloc")]
pub fn pack_weights(
    rows: &[f32],
    outputs: usize,
    depth: usize,
    is_depthwise: bool,
) -> alloc::vec::Vec<f32> {
    let length = weights_len(outputs, depth);
    pack(rows, depth, length, |channel, k| {
        weight_index(channel, k, outputs, depth, is_depthwise)
    })
}

/// Undoes [`pack_weights`].
#[cfg(feature = "alloc")]
pub fn unpack_weights(
    packed: &[f32],
    outputs: usize,
    depth: usize,
    is_depthwise: bool,
) -> alloc::vec::Vec<f32> {
    unpack(packed, outputs, depth, |channel, k| {
        weight_index(channel, k, outputs, depth, is_depthwise)
    })
}

/// [`pack_weights`] of int8.
#[cfg(feature = "alloc")]
pub fn pack_int8_weights(
    rows: &[i8],
    outputs: usize,
    depth: usize,
    is_depthwise: bool,
) -> alloc::vec::Vec<i8> {
    let length = match is_depthwise {
        true => weights_len(outputs, depth),
        false => quad_weights_len(outputs, depth),
    };
    pack(rows, depth, length, |channel, k| {
        int8_weight_index(channel, k, outputs, depth, is_depthwise)
    })
}

/// Undoes [`pack_int8_weights`].
#[cfg(feature = "alloc")]
pub fn unpack_int8_weights(
    packed: &[i8],
    outputs: usize,
    depth: usize,
    is_depthwise: bool,
) -> alloc::vec::Vec<i8> {
    unpack(packed, outputs, depth, |channel, k| {
        int8_weight_index(channel, k, outputs, depth, is_depthwise)
    })
}

#[cfg(feature = "alloc")]
fn pack<T: Copy + Default>(
    rows: &[T],
    depth: usize,
    length: usize,
    index: impl Fn(usize, usize) -> usize,
) -> alloc::vec::Vec<T> {
    let mut packed = alloc::vec![T::default(); length];
    for (channel, row) in rows.chunks_exact(depth).enumerate() {
        for (k, &value) in row.iter().enumerate() {
            packed[index(channel, k)] = value;
        }
    }
    packed
}

#[cfg(feature = "alloc")]
fn unpack<T: Copy>(
    packed: &[T],
    outputs: usize,
    depth: usize,
    index: impl Fn(usize, usize) -> usize,
) -> alloc::vec::Vec<T> {
    (0..outputs * depth)
        .map(|i| packed[index(i / depth, i % depth)])
        .collect()
}

#[cfg(feature = "alloc")]
const fn weight_index(
    channel: usize,
    k: usize,
    outputs: usize,
    depth: usize,
    is_depthwise: bool,
) -> usize {
    if is_depthwise {
        depthwise_index(channel, k, outputs)
    } else {
        dense_index(channel, k, depth)
    }
}

#[cfg(feature = "alloc")]
const fn int8_weight_index(
    channel: usize,
    k: usize,
    outputs: usize,
    depth: usize,
    is_depthwise: bool,
) -> usize {
    if is_depthwise {
        depthwise_index(channel, k, outputs)
    } else {
        quad_index(channel, k, depth)
    }
}

/// Packs one scale and one bias a channel.
#[cfg(feature = "alloc")]
pub fn pack_epilogue(scale: &[f32], bias: &[f32]) -> alloc::vec::Vec<f32> {
    let mut packed = alloc::vec![0.0; epilogue_len(scale.len())];
    for (channel, (&scale, &bias)) in scale.iter().zip(bias).enumerate() {
        packed[scale_index(channel)] = scale;
        packed[scale_index(channel) + PANEL] = bias;
    }
    packed
}

/// Undoes [`pack_epilogue`]: scales and biases.
#[cfg(feature = "alloc")]
pub fn unpack_epilogue(
    packed: &[f32],
    outputs: usize,
) -> (alloc::vec::Vec<f32>, alloc::vec::Vec<f32>) {
    (0..outputs)
        .map(|channel| {
            let at = scale_index(channel);
            (packed[at], packed[at + PANEL])
        })
        .unzip()
}
