//! Decides which layers are computed together, and places activations in one arena: the largest first, each at the lowest offset where no tensor that lives at the
//! same time lies (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", greedy by size).

use alloc::vec::Vec;

use crate::geometry::Shape;
use crate::plan::kept_rows;
use crate::records::{Block, Layer, Op};
use crate::section::ALIGN;

/// Most bytes between the layers of a block that stay in the caches nearest to a core.
const CACHE: usize = 256 * 1024;

/// The fused blocks of a network: inverted residuals and what is like them, where its layers, one after the other, have more
/// in memory than some layer or block has to read and write. `shapes[i + 1]` is the shape of the output of layer i, of
/// values of `size` bytes.
pub(super) fn fuse(layers: &[Layer], shapes: &[Shape], size: usize) -> Vec<Block> {
    let candidates = candidates(layers);
    let bytes = |tensor: usize| shapes[tensor].len().saturating_mul(size);
    let input = |block: &Block| bytes(layers[block.first].inputs[0]);
    let ends = |block: &Block| input(block).saturating_add(bytes(block.last + 1));
    let unavoidable = candidates.iter().map(ends).max().unwrap_or(0);
    let is_large = |block: &Block| {
        let is_sum = layers[block.last].op == Op::Add;
        block.inner().any(|tensor| {
            let kept = if is_sum { input(block) } else { 0 };
            let layer = bytes(tensor).saturating_add(bytes(tensor + 1));
            kept.saturating_add(layer) > unavoidable
        })
    };
    let room = (unavoidable / 2).min(CACHE);
    let with_rows = |block: Block| {
        let fits = |&rows: &usize| between(layers, shapes, &Block { rows, ..block }) * size <= room;
        let most = shapes[block.last + 1].height.min(MAX_ROWS);
        let rows = (2..=most).take_while(fits).last().unwrap_or(1);
        Block { rows, ..block }
    };
    candidates
        .into_iter()
        .filter(is_large)
        .map(with_rows)
        .collect()
}

/// Most rows of a block that are computed at a time: the format has two bytes for them.
const MAX_ROWS: usize = u16::MAX as usize;

/// Values that are kept between the layers of a block.
fn between(layers: &[Layer], shapes: &[Shape], block: &Block) -> usize {
    let output = |index: usize| shapes[block.first + index + 1];
    let rows = kept_rows(block.layers().len(), block.rows, |index| {
        (layers[block.first + index].window, output(index).height)
    });
    let values = (0..block.inner().len()).map(|index| {
        Shape {
            height: rows[index],
            ..output(index)
        }
        .len()
    });
    values.fold(0, usize::saturating_add)
}

/// All layers but the last, those that can be computed together in blocks, others in blocks of one layer.
fn candidates(layers: &[Layer]) -> Vec<Block> {
    let readers = readers(layers);
    let mut blocks = Vec::new();
    let mut first = 0;
    // Patches have heads of their own size: the scores stand alone.
    while first + 1 < layers.len() {
        let last = end_of_block(layers, &readers, first);
        blocks.push(Block {
            first,
            last,
            rows: 1,
        });
        first = last + 1;
    }
    blocks
}

/// The last layer of the block that starts with this one: a convolution or none, a depthwise one, a pointwise one that
/// projects or none, a sum or none. What is between them has one reader.
fn end_of_block(layers: &[Layer], readers: &[usize], first: usize) -> usize {
    let follows = |last: usize, op: Op| {
        let next = layers[..layers.len() - 1].get(last + 1);
        readers[last + 1] == 1
            && next.is_some_and(|next| {
                next.op == op && next.inputs[..op.arity()].contains(&(last + 1))
            })
    };
    let mut last = first;
    if layers[first].op != Op::Depthwise {
        if !matches!(layers[first].op, Op::Conv | Op::Pointwise) || !follows(first, Op::Depthwise) {
            return first;
        }
        last += 1;
    }
    for op in [Op::Pointwise, Op::Add] {
        if !follows(last, op) {
            break;
        }
        last += 1;
    }
    last
}

/// How often each tensor is read; the scores once by the caller.
fn readers(layers: &[Layer]) -> Vec<usize> {
    let mut readers = alloc::vec![0; layers.len() + 1];
    for layer in layers {
        for &input in &layer.inputs[..layer.op.arity()] {
            readers[input] += 1;
        }
    }
    readers[layers.len()] += 1;
    readers
}

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
