//! A fused block: its layers are computed together, a few rows at a time, so that what lies between them stays in cache
//! and needs little memory (the patch-based inference of MCUNetV2, Lin et al. 2021, without computing anything twice but
//! where threads meet).

use core::ops::Range;

use graft_patches::BackboneImage;
use graft_patches::geometry::{Shape, Window};
use graft_patches::plan::kept_rows;
use graft_patches::records::{Block, MAX_BLOCK};

use super::{Arithmetic, Call, Memory, Stage, disjoint};
use crate::arena::line_len;
use crate::workers::Output;

/// Computes a block; returns where its output is.
pub(super) fn compute<A: Arithmetic>(
    arithmetic: &A,
    backbone: &BackboneImage<'_>,
    block: &Block,
    stages: &[Option<Stage<'_, A>>; MAX_BLOCK],
    memory: &mut Memory<'_, '_, A::Value>,
) -> Range<usize> {
    let stages = Stages {
        arithmetic,
        stages,
        count: block.layers().len(),
        rows: block.rows,
    };
    let range = |tensor: usize| {
        let start = backbone.tensor(tensor).offset / size_of::<A::Value>();
        start..start + memory.shapes[tensor].len()
    };
    let input = stages.get(0).layer.inputs[0];
    let output = range(block.last + 1);
    let (input, other, values) = disjoint(
        memory.activations,
        range(input),
        range(stages.other().unwrap_or(input)),
        output.clone(),
    );
    let shape = stages.get(stages.count - 1).output_shape;
    let work = (0..stages.count).map(|at| stages.get(at).work()).sum();
    // One part for each thread: where two meet, both compute the rows that both need.
    let grain = values.len();
    memory.workers.compute(
        Output {
            values,
            unit: row_len(shape),
            work,
            grain,
        },
        memory.scratch,
        memory.scratch_per_thread,
        &|first, out, scratch| stages.rows([input, other], first, out, scratch),
    );
    output
}

/// The layers of a block.
struct Stages<'a, A: Arithmetic> {
    arithmetic: &'a A,
    stages: &'a [Option<Stage<'a, A>>; MAX_BLOCK],
    count: usize,
    /// Output rows at a time.
    rows: usize,
}

impl<A: Arithmetic> Stages<'_, A> {
    fn get(&self, at: usize) -> &Stage<'_, A> {
        self.stages[at].as_ref().expect("below the count of layers")
    }

    /// The tensor that the last layer reads beside the output of the one before.
    fn other(&self) -> Option<usize> {
        let last = self.get(self.count - 1);
        let operands = &last.layer.inputs[..last.layer.op.arity()];
        operands
            .iter()
            .copied()
            .find(|&tensor| tensor != last.index)
    }

    /// Computes rows of the output, from the given one on. `operands` are the block's input and the second operand of
    /// its sum.
    fn rows(
        &self,
        operands: [&[A::Value]; 2],
        first: usize,
        out: &mut [A::Value],
        scratch: &mut [A::Value],
    ) {
        let last = self.count - 1;
        let row = row_len(self.get(last).output_shape);
        let mut kept = self.kept();
        let (between, scratch) = scratch.split_at_mut(kept[last].start);
        let mut done = first;
        for out in out.chunks_mut(self.rows * row) {
            let end = done + out.len() / row;
            let needed = self.needed(done..end);
            done = end;
            for at in 0..self.count {
                let (before, here) = between.split_at_mut(kept[at].start);
                let new = match at == last {
                    true => needed[at].clone(),
                    false => kept[at].make_room(here, needed[at].clone()),
                };
                if new.is_empty() {
                    continue;
                }
                let stage = self.get(at);
                let input = match at.checked_sub(1) {
                    Some(above) => kept[above].view(before),
                    None => View::whole(operands[0]),
                };
                let out = match at == last {
                    true => &mut *out,
                    false => kept[at].rows_mut(here, new.clone()),
                };
                self.layer(stage, input, operands[1], new, out, scratch);
            }
        }
    }

    /// Computes some rows of a layer.
    fn layer(
        &self,
        stage: &Stage<'_, A>,
        input: View<'_, A::Value>,
        other: &[A::Value],
        rows: Range<usize>,
        out: &mut [A::Value],
        scratch: &mut [A::Value],
    ) {
        let band = stage.layer.window.band(stage.input_shape, rows.clone());
        let above = input.rows(band.input.clone(), row_len(stage.input_shape));
        let operands = stage.layer.inputs.map(|tensor| {
            if tensor == stage.index || stage.layer.op.arity() == 1 {
                above
            } else {
                View::whole(other).rows(rows.clone(), row_len(stage.output_shape))
            }
        });
        let call = Call {
            stage,
            operands,
            input_shape: with_height(stage.input_shape, band.input.len()),
            output_shape: with_height(stage.output_shape, rows.len()),
            window: band.window,
        };
        self.arithmetic.part(&call, 0, out, scratch);
    }

    /// The output rows of each layer that some of the block's need.
    fn needed(&self, rows: Range<usize>) -> [Range<usize>; MAX_BLOCK] {
        let mut needed = [const { 0..0 }; MAX_BLOCK];
        needed[self.count - 1] = rows;
        for at in (1..self.count).rev() {
            let stage = self.get(at);
            let band = stage
                .layer
                .window
                .band(stage.input_shape, needed[at].clone());
            needed[at - 1] = band.input;
        }
        needed
    }

    /// The places of what is kept of each layer's output, one after the other. That of the last, which is not kept, is
    /// where they end.
    fn kept(&self) -> [Kept; MAX_BLOCK] {
        let mut layers = [(Window::POINT, 0); MAX_BLOCK];
        for (layer, stage) in layers.iter_mut().zip(self.stages.iter().flatten()) {
            *layer = (stage.layer.window, stage.output_shape.height);
        }
        let rows = kept_rows(self.rows, &layers[..self.count]);
        let mut kept = [const { Kept::NONE }; MAX_BLOCK];
        let mut start = 0;
        for (at, kept) in kept.iter_mut().enumerate().take(self.count) {
            let row = row_len(self.get(at).output_shape);
            *kept = Kept {
                start,
                row,
                has: 0..0,
            };
            start += line_len::<A::Value>(rows[at] * row);
        }
        kept
    }
}

/// The rows that are kept of a tensor inside a block.
struct Kept {
    /// Where they start in the scratch memory.
    start: usize,
    /// Values of a row.
    row: usize,
    /// Which rows are there.
    has: Range<usize>,
}

impl Kept {
    const NONE: Self = Self {
        start: 0,
        row: 0,
        has: 0..0,
    };

    /// Lets go of the rows before the needed ones; returns those that are yet to be computed.
    fn make_room<T: Copy>(&mut self, here: &mut [T], needed: Range<usize>) -> Range<usize> {
        let stay = needed.start.max(self.has.start)..self.has.end;
        if stay.is_empty() {
            self.has = needed.start..needed.end;
            return needed;
        }
        // Row by row, because ranges that overlap are copied by another function, which takes flash.
        let from = (stay.start - self.has.start) * self.row;
        for to in (0..stay.len()).map(|row| row * self.row) {
            if from > 0 {
                let (to, from) = here[to..].split_at_mut(from);
                to[..self.row].copy_from_slice(&from[..self.row]);
            }
        }
        let new = stay.end..needed.end.max(stay.end);
        self.has = stay.start..new.end;
        new
    }

    /// What is there.
    fn view<'v, T>(&self, scratch: &'v [T]) -> View<'v, T> {
        View {
            rows: &scratch[self.start..],
            first: self.has.start,
        }
    }

    /// Some of the rows.
    fn rows_mut<'v, T>(&self, here: &'v mut [T], rows: Range<usize>) -> &'v mut [T] {
        &mut here[(rows.start - self.has.start) * self.row..][..rows.len() * self.row]
    }
}

/// Rows of a tensor, from the given one on.
struct View<'v, T> {
    rows: &'v [T],
    first: usize,
}

impl<'v, T> View<'v, T> {
    fn whole(rows: &'v [T]) -> Self {
        Self { rows, first: 0 }
    }

    fn rows(&self, rows: Range<usize>, row: usize) -> &'v [T] {
        &self.rows[(rows.start - self.first) * row..][..rows.len() * row]
    }
}

fn row_len(shape: Shape) -> usize {
    shape.width * shape.channels
}

fn with_height(shape: Shape, height: usize) -> Shape {
    Shape { height, ..shape }
}
