//! Places activations in one arena: the largest first, each at the lowest offset where no tensor that lives at the same time
//! lies (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", greedy by size).

use alloc::vec::Vec;

use crate::records::{Block, Layer};
use crate::section::ALIGN;

/// A placed tensor.
pub(super) struct Placed {
    pub(super) offset: u64,
    pub(super) end: u64,
    /// Last layer that reads it, or the last of that one's block; the number of layers for the scores.
    pub(super) last: usize,
}

/// Places tensor t (0 the input, i + 1 the output of layer i) of `bytes[t]` bytes; those inside blocks have no place.
pub(super) fn place(layers: &[Layer], blocks: &[Block], bytes: &[u64]) -> Vec<Placed> {
    let spans = block_spans(layers, blocks);
    let mut placed: Vec<Placed> = last_uses(layers, &spans)
        .into_iter()
        .map(|last| Placed {
            offset: 0,
            end: 0,
            last,
        })
        .collect();
    let is_inner = |tensor: usize| blocks.iter().any(|block| block.inner().contains(&tensor));
    let mut order: Vec<usize> = (0..bytes.len())
        .filter(|&tensor| !is_inner(tensor))
        .collect();
    order.sort_by_key(|&tensor| core::cmp::Reverse(bytes[tensor]));
    for (done, &tensor) in order.iter().enumerate() {
        let mut taken: Vec<(u64, u64)> = order[..done]
            .iter()
            .filter(|&&other| overlap_in_time(&placed, &spans, tensor, other))
            .map(|&other| (placed[other].offset, placed[other].end))
            .collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (start, end) in taken {
            if offset + bytes[tensor] <= start {
                break;
            }
            offset = offset.max(end.next_multiple_of(ALIGN as u64));
        }
        placed[tensor].offset = offset;
        placed[tensor].end = offset + bytes[tensor];
    }
    placed
}

/// The first and the last layer that are computed together with each layer.
fn block_spans(layers: &[Layer], blocks: &[Block]) -> Vec<[usize; 2]> {
    let mut spans: Vec<[usize; 2]> = (0..layers.len()).map(|layer| [layer; 2]).collect();
    for block in blocks {
        spans[block.layers()].fill([block.first, block.last]);
    }
    spans
}

fn last_uses(layers: &[Layer], spans: &[[usize; 2]]) -> Vec<usize> {
    // A tensor that nobody reads still must not be overwritten while its own layer writes it.
    let mut last: Vec<usize> = (0..=layers.len())
        .map(|tensor| tensor.saturating_sub(1))
        .collect();
    for (index, layer) in layers.iter().enumerate() {
        for &input in &layer.inputs[..layer.op.arity()] {
            let is_inner = spans[index][0] < input;
            last[input] = if is_inner { index } else { spans[index][1] };
        }
    }
    last[layers.len()] = layers.len();
    last
}

/// Tensor t is written by layer t - 1, or from the first layer of its block on, and lives until its last reader is done.
fn overlap_in_time(placed: &[Placed], spans: &[[usize; 2]], a: usize, b: usize) -> bool {
    let (earlier, later) = if a < b { (a, b) } else { (b, a) };
    placed[earlier].last >= spans[later - 1][0]
}
