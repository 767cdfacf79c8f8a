//! The memory of a session: activations as planned, scratch per thread, what lies between the layers of fused blocks, the
//! shapes of the current resolution, copies of what several patches share.

use core::ops::Range;

use graft_patches::BackboneImage;
use graft_patches::geometry::{Shape, Window};
use graft_patches::plan::kept_rows;
use graft_patches::records::{Block, Dtype, MAX_BLOCK, Op};
use zerocopy::FromBytes;

use crate::Error;
use crate::engine::Product;
use crate::kernels::int8;

const LINE: usize = 64;
const MESSAGE: &str = "lengths and alignment were checked by Arena::new";
/// Bytes of a page of the larger kind on most machines.
#[cfg(all(feature = "std", target_os = "linux"))]
const HUGE_PAGE: usize = 2 << 20;

/// Lengths of the parts of an arena, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArenaLayout {
    activations: usize,
    fusion: Fusion,
    /// What lies between the layers of a block, where it is whole.
    between: usize,
    scratch_per_thread: usize,
    threads: usize,
    scores: usize,
    shapes: usize,
    saved: usize,
}

/// The machine's part in the length of an arena.
#[derive(Clone, Copy)]
pub(crate) struct Machine {
    scratch: int8::Scratch,
    shape_bytes: usize,
}

impl Machine {
    pub(crate) const HERE: Self = Self {
        scratch: int8::Scratch::HERE,
        shape_bytes: size_of::<Shape>(),
    };
    pub(crate) const CORTEX_M: Self = Self {
        scratch: int8::Scratch::CORTEX_M,
        shape_bytes: size_of::<Shape>() / size_of::<usize>() * size_of::<u32>(),
    };
}

/// How the layers of a block are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fusion {
    /// Together, a few rows at a time: what lies between them is in the scratch memory of each thread.
    Rows,
    /// One after the other: what lies between them is whole.
    #[cfg_attr(
        not(feature = "alloc"),
        expect(dead_code, reason = "sessions in memory of the caller are fused")
    )]
    Whole,
}

impl ArenaLayout {
    pub(crate) fn new(
        image: &BackboneImage<'_>,
        threads: usize,
        machine: Machine,
        fusion: Fusion,
    ) -> Self {
        let (mut scratch, mut between) = (0, 0);
        for block in image.steps() {
            let layers = block.layers();
            let kernels = layers.map(|layer| scratch_bytes(image, layer, machine));
            let kernels = kernels.max().unwrap_or(0);
            let bytes = between_bytes(image, &block, fusion);
            match fusion {
                Fusion::Rows => scratch = scratch.max(bytes.saturating_add(kernels)),
                Fusion::Whole => {
                    scratch = scratch.max(kernels);
                    between = between.max(bytes);
                }
            }
        }
        let last = image.tensor(image.layer_count()).shape;
        let scores = match image.dtype() {
            Dtype::I8 | Dtype::I8Half => last.pixels().saturating_mul(image.max_classes()),
            Dtype::F32 | Dtype::F16 => 0,
        };
        Self {
            activations: whole_lines(image.arena_bytes()),
            fusion,
            between,
            scratch_per_thread: whole_lines(scratch),
            threads,
            scores: whole_lines(scores.saturating_mul(size_of::<f32>())),
            shapes: (image.layer_count() + 1) * machine.shape_bytes,
            saved: 0,
        }
    }

    fn scratch(&self) -> Range<usize> {
        let scratch = self.threads.saturating_mul(self.scratch_per_thread);
        let start = self.activations.saturating_add(self.between);
        start..start.saturating_add(scratch)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.scratch()
            .end
            .saturating_add(self.scores)
            .saturating_add(self.shapes)
            .saturating_add(self.saved)
    }
}

/// Bytes of all that lies between the layers of a block, each tensor from a line's start on.
fn between_bytes(image: &BackboneImage<'_>, block: &Block, fusion: Fusion) -> usize {
    let mut layers = [(Window::POINT, 0); MAX_BLOCK];
    for (to, layer) in layers.iter_mut().zip(block.layers()) {
        *to = (
            image.layer(layer).window,
            image.tensor(layer + 1).shape.height,
        );
    }
    let kept = kept_rows(block.rows, &layers[..block.layers().len()]);
    let bytes = block.inner().zip(kept).map(|(tensor, kept)| {
        let shape = image.tensor(tensor).shape;
        let rows = match fusion {
            Fusion::Rows => kept,
            Fusion::Whole => shape.height,
        };
        let values = Shape::new(rows, shape.width, shape.channels).len();
        whole_lines(values.saturating_mul(image.dtype().size()))
    });
    bytes.fold(0, usize::saturating_add)
}

/// Memory that a layer's kernel needs beside its operands.
fn scratch_bytes(image: &BackboneImage<'_>, index: usize, machine: Machine) -> usize {
    let layer = image.layer(index);
    let depth = || layer.site.map_or(0, |site| image.site(site).depth);
    match (image.dtype(), layer.op) {
        (Dtype::I8 | Dtype::I8Half, Op::Conv) => machine.scratch.dense(depth()),
        (Dtype::I8 | Dtype::I8Half, Op::Pointwise | Op::Linear) => {
            match Product::of(image.tensor(index + 1).shape) {
                Product::Pixels => machine.scratch.dense(depth()),
                Product::Panels => machine.scratch.linear(depth()),
            }
        }
        (Dtype::F32 | Dtype::F16, Op::Conv | Op::Pointwise | Op::Linear)
        | (
            _,
            Op::Depthwise
            | Op::Add
            | Op::Multiply
            | Op::AveragePool
            | Op::MaxPool
            | Op::GlobalAveragePool,
        ) => 0,
    }
}

/// Values in whole lines.
pub(crate) fn line_len<T>(values: usize) -> usize {
    whole_lines(values.saturating_mul(size_of::<T>())) / size_of::<T>()
}

/// Rounded up; an arena that no machine has is refused where it is made.
fn whole_lines(bytes: usize) -> usize {
    bytes.div_ceil(LINE).saturating_mul(LINE)
}

/// The memory itself.
pub(crate) enum ArenaBytes<'a> {
    Borrowed(&'a mut [u8]),
    #[cfg(all(feature = "alloc", not(feature = "std")))]
    Heap(crate::bytes::AlignedBytes),
    #[cfg(feature = "std")]
    Mapped(memmap2::MmapMut),
}

impl ArenaBytes<'_> {
    #[cfg(all(feature = "alloc", not(feature = "std")))]
    pub(crate) fn allocate(length: usize) -> Result<Self, Error> {
        Ok(Self::Heap(crate::bytes::AlignedBytes::zeroed(length)))
    }

    /// Fresh pages from the system.
    #[cfg(feature = "std")]
    pub(crate) fn allocate(length: usize) -> Result<Self, Error> {
        let failed = |source| Error::Memory {
            bytes: length,
            source,
        };
        #[cfg(target_os = "linux")]
        if let Some(map) = large_pages(length) {
            return map.map(Self::Mapped).map_err(failed);
        }
        let map = memmap2::MmapMut::map_anon(length);
        map.map(Self::Mapped).map_err(failed)
    }
}

/// Pages of the larger kind for half of one or more, if the kernel has them: the first run takes a few page faults instead of
/// one for every 4 KiB, and a large page is zeroed in less time than half as many bytes of small ones.
#[cfg(all(feature = "std", target_os = "linux"))]
fn large_pages(length: usize) -> Option<std::io::Result<memmap2::MmapMut>> {
    let whole = length.checked_next_multiple_of(HUGE_PAGE)?;
    (length >= HUGE_PAGE / 2).then(|| {
        let map = memmap2::MmapMut::map_anon(whole)?;
        // A hint: without large pages small ones serve as well.
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(map)
    })
}

/// An arena cut into its parts.
pub(crate) struct Arena<'a> {
    layout: ArenaLayout,
    bytes: ArenaBytes<'a>,
}

/// The parts of an arena, in bytes aligned to 64.
pub(crate) struct Parts<'a> {
    /// All activations, at the plan's offsets; with [`Fusion::Whole`] behind them what lies between the layers of a block.
    pub(crate) activations: &'a mut [u8],
    /// Scratch of all threads.
    pub(crate) scratch: &'a mut [u8],
    /// Bytes of scratch for each thread.
    pub(crate) scratch_per_thread: usize,
    /// The scores of an int8 backbone in f32; empty where the activations hold them.
    pub(crate) scores: &'a mut [f32],
    /// Shapes of all tensors at the current resolution.
    pub(crate) shapes: &'a mut [Shape],
    /// Copies of activations that several patches start from.
    pub(crate) saved: &'a mut [u8],
}

impl<'a> Arena<'a> {
    pub(crate) fn new(layout: ArenaLayout, bytes: ArenaBytes<'a>) -> Result<Self, Error> {
        let mut arena = Self { layout, bytes };
        arena.has_room(&layout)?;
        Ok(arena)
    }

    fn has_room(&mut self, layout: &ArenaLayout) -> Result<(), Error> {
        let slice = self.slice();
        let is_aligned = slice.as_ptr().addr().is_multiple_of(LINE);
        let found = if is_aligned { slice.len() } else { 0 };
        let expected = layout.bytes();
        match found < expected {
            true => Err(Error::Arena { found, expected }),
            false => Ok(()),
        }
    }

    /// Makes room for this many bytes of copies; returns whether that took new memory, in which nothing of the old is.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Result<bool, Error> {
        let layout = ArenaLayout {
            saved: bytes.max(self.layout.saved),
            ..self.layout
        };
        let room = self.has_room(&layout);
        #[cfg(feature = "alloc")]
        if room.is_err() && !matches!(self.bytes, ArenaBytes::Borrowed(_)) {
            *self = Self::new(layout, ArenaBytes::allocate(layout.bytes())?)?;
            return Ok(true);
        }
        room?;
        self.layout = layout;
        Ok(false)
    }

    fn slice(&mut self) -> &mut [u8] {
        match &mut self.bytes {
            ArenaBytes::Borrowed(bytes) => bytes,
            #[cfg(all(feature = "alloc", not(feature = "std")))]
            ArenaBytes::Heap(bytes) => bytes.as_mut_slice(),
            #[cfg(feature = "std")]
            ArenaBytes::Mapped(map) => map,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.layout.bytes()
    }

    /// All of its bytes.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let length = self.layout.bytes();
        &mut self.slice()[..length]
    }

    pub(crate) fn fusion(&self) -> Fusion {
        self.layout.fusion
    }

    pub(crate) fn parts(&mut self) -> Parts<'_> {
        let layout = self.layout;
        let end = layout.bytes();
        let (activations, rest) = self.slice()[..end].split_at_mut(layout.scratch().start);
        let (scratch, rest) = rest.split_at_mut(layout.scratch().len());
        let (scores, rest) = rest.split_at_mut(layout.scores);
        let (shapes, saved) = rest.split_at_mut(layout.shapes);
        Parts {
            activations,
            scratch,
            scratch_per_thread: layout.scratch_per_thread,
            scores: floats(scores),
            shapes: cast(<[Shape]>::mut_from_bytes(shapes)),
            saved,
        }
    }
}

/// A part of an arena as f32.
pub(crate) fn floats(bytes: &mut [u8]) -> &mut [f32] {
    cast(<[f32]>::mut_from_bytes(bytes))
}

/// A part of an arena as int8.
pub(crate) fn bytes(bytes: &mut [u8]) -> &mut [i8] {
    cast(<[i8]>::mut_from_bytes(bytes))
}

/// `expect` would have the error's text in a microcontroller's flash.
fn cast<T, E>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|_| unreachable!("{MESSAGE}"))
}
