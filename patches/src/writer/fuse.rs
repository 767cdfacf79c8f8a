//! Decides which layers are computed together.

use alloc::vec::Vec;

use crate::geometry::Shape;
use crate::plan::{PREPARED, kept_rows};
use crate::records::{Block, Layer, Op};

/// Most bytes between the layers of a block that stay in the caches nearest to a core.
const CACHE: usize = 384 * 1024;

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
    let blocks: Vec<Block> = candidates.into_iter().filter(is_large).collect();
    let needed = |block: &Block| working_memory(layers, shapes, block, size);
    // What one block needs at the least all others have, too.
    let least = blocks.iter().map(needed).max().unwrap_or(0);
    let room = (unavoidable / 2).max(least).min(CACHE);
    let with_rows = |block: Block| {
        let fits = |&rows: &usize| needed(&Block { rows, ..block }) <= room;
        let most = shapes[block.last + 1].height.min(MAX_ROWS);
        let rows = (2..=most).take_while(fits).last().unwrap_or(1);
        Block { rows, ..block }
    };
    blocks.into_iter().map(with_rows).collect()
}

/// Bytes that a block needs beside the arena's activations: what is kept between its layers, and what kernels prepare.
fn working_memory(layers: &[Layer], shapes: &[Shape], block: &Block, size: usize) -> usize {
    let inputs = |layer: &Layer| match layer.op {
        Op::Conv | Op::Pointwise => {
            let [height, width] = layer.window.kernel;
            let channels = shapes[layer.inputs[0]].channels;
            height.saturating_mul(width).saturating_mul(channels)
        }
        Op::Depthwise
        | Op::Linear
        | Op::Add
        | Op::Multiply
        | Op::AveragePool
        | Op::MaxPool
        | Op::GlobalAveragePool => 0,
    };
    let prepared = match size {
        1 => {
            let most = layers[block.layers()].iter().map(inputs).max();
            most.unwrap_or(0).saturating_mul(PREPARED)
        }
        _ => 0,
    };
    between(layers, shapes, block)
        .saturating_mul(size)
        .saturating_add(prepared)
}

/// Most rows of a block that are computed at a time: the format has two bytes for them.
const MAX_ROWS: usize = u16::MAX as usize;

/// Values that are kept between the layers of a block.
fn between(layers: &[Layer], shapes: &[Shape], block: &Block) -> usize {
    let output = |layer: usize| shapes[layer + 1];
    let all: Vec<_> = block
        .layers()
        .map(|layer| (layers[layer].window, output(layer).height))
        .collect();
    let rows = kept_rows(block.rows, &all);
    let values = (block.first..block.last).zip(rows).map(|(layer, rows)| {
        Shape {
            height: rows,
            ..output(layer)
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
