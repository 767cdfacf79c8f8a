//! Runs a backbone with a patch.

use core::ops::Range;

use graft_patches::ImageError;
use graft_patches::geometry::Shape;
use graft_patches::plan::infer_shapes;
use graft_patches::scale::Scale;

use crate::arena::{Arena, ArenaBytes, ArenaLayout, Fusion, Machine, Parts, bytes, floats};
use crate::engine::{self, Float, Int8, Memory};
use crate::input;
use crate::kernels::{KernelSet, float};
use crate::workers::Workers;
use crate::{Backbone, Error, Patch};

/// An input image, NHWC, of the size that the patch's input says.
///
/// ```
/// # std::env::set_current_dir("../tools/assets/demo").unwrap();
/// use graft_runtime::{Backbone, Image, Session};
///
/// let backbone = Backbone::open("demo.backbone")?;
/// let own = backbone.identity();
/// let input = own.input();
/// let pixels = vec![100u8; input.shape.len()];
/// let channel = |at: usize| at % input.shape.channels;
/// let values: Vec<f32> = (0..pixels.len())
///     .map(|at| (f32::from(pixels[at]) - input.mean[channel(at)]) / input.std[channel(at)])
///     .collect();
/// let mut session = Session::new(&backbone)?;
/// let scores = session.run(&own, &pixels)?.to_vec(); // bytes are pixels
/// assert_eq!(session.run(&own, Image::Values(&values))?, scores);
/// # Ok::<(), graft_runtime::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Image<'a> {
    /// 8-bit pixels, normalised by the patch's mean and standard deviation.
    Pixels(&'a [u8]),
    /// Values that are normalised already.
    Values(&'a [f32]),
}

impl Image<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Pixels(pixels) => pixels.len(),
            Self::Values(values) => values.len(),
        }
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for Image<'a> {
    fn from(pixels: &'a T) -> Self {
        Self::Pixels(pixels.as_ref())
    }
}

/// The output of a layer, NHWC.
///
/// ```
/// # std::env::set_current_dir("../tools/assets/demo").unwrap();
/// use graft_runtime::{Backbone, Session};
///
/// let backbone = Backbone::open("int8/demo.backbone")?;
/// let mut largest = vec![0.0f32; backbone.image().layer_count()];
/// let mut session = Session::new(&backbone)?;
/// let frame = vec![0u8; 48 * 48 * 3];
/// session.run_observed(&backbone.identity(), &frame, |layer, output| {
///     for value in output.to_vec() {
///         largest[layer] = largest[layer].max(value.abs());
///     }
/// })?;
/// let scores = session.run(&backbone.identity(), &frame)?;
/// let best = scores.iter().fold(0.0f32, |most, score| most.max(score.abs()));
/// assert_eq!(largest.last(), Some(&best)); // the last layer's output are the scores
/// # Ok::<(), graft_runtime::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LayerOutput<'a> {
    /// Of an f32 backbone.
    F32(&'a [f32]),
    /// Of an int8 backbone, with the scale of the bytes.
    I8(&'a [i8], Scale),
}

impl LayerOutput<'_> {
    /// Values in it.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::I8(values, _) => values.len(),
        }
    }

    /// Its values in f32.
    #[cfg(feature = "alloc")]
    pub fn to_vec(&self) -> alloc::vec::Vec<f32> {
        match self {
            Self::F32(values) => values.to_vec(),
            Self::I8(values, scale) => values.iter().map(|&byte| scale.value(byte)).collect(),
        }
    }

    /// Whether it has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The memory and threads to run a backbone. Any patch of the backbone can be given at each call.
///
/// ```
/// # std::env::set_current_dir("../tools/assets/demo").unwrap();
/// use graft_runtime::{Backbone, Patch, Session};
///
/// let backbone = Backbone::open("demo.backbone")?;
/// let fashion = Patch::open("fashion.patch", &backbone)?;
/// let digits = Patch::open("sign-digits.patch", &backbone)?;
/// let mut session = Session::with_threads(&backbone, 2)?;
/// let frame = vec![0u8; 48 * 48 * 3];
/// for patch in [&fashion, &digits, &backbone.identity()] {
///     let scores = session.run(patch, &frame)?; // another task at each call costs nothing
///     assert_eq!(scores.len(), patch.classes());
/// }
/// # Ok::<(), graft_runtime::Error>(())
/// ```
pub struct Session<'a> {
    pub(crate) backbone: Backbone,
    kernels: KernelSet,
    pub(crate) arena: Arena<'a>,
    workers: Workers,
    /// Input that the arena's shapes are for.
    pub(crate) shaped_for: Shape,
}

impl Session<'_> {
    /// A session with one thread. Its arena is the only allocation.
    ///
    /// # Errors
    /// [`Error::Kernels`] where `GRAFT_KERNELS` names kernels that this machine does not have.
    #[cfg(feature = "alloc")]
    pub fn new(backbone: &Backbone) -> Result<Self, Error> {
        Self::owned(backbone, Workers::One)
    }

    /// A session that shares each layer among `threads` threads (1 to 256), the caller's among them.
    ///
    /// # Errors
    /// As [`Session::new`], and [`Error::Threads`].
    #[cfg(feature = "std")]
    pub fn with_threads(backbone: &Backbone, threads: usize) -> Result<Self, Error> {
        Self::owned(backbone, Workers::new(threads)?)
    }

    #[cfg(feature = "alloc")]
    fn owned(backbone: &Backbone, workers: Workers) -> Result<Self, Error> {
        let layout = layout(backbone, workers.threads(), Fusion::Rows);
        let arena = ArenaBytes::allocate(layout.bytes())?;
        Self::build(backbone, workers, layout, arena)
    }
}

impl<'a> Session<'a> {
    /// A session with one thread in memory of the caller: at least [`Session::arena_len`] bytes, aligned to 64.
    ///
    /// # Errors
    /// [`Error::Arena`], [`Error::Kernels`].
    pub fn in_arena(backbone: &Backbone, arena: &'a mut [u8]) -> Result<Self, Error> {
        let layout = layout(backbone, 1, Fusion::Rows);
        Self::build(backbone, Workers::One, layout, ArenaBytes::Borrowed(arena))
    }

    fn build(
        backbone: &Backbone,
        workers: Workers,
        layout: ArenaLayout,
        bytes: ArenaBytes<'a>,
    ) -> Result<Self, Error> {
        Ok(Self {
            backbone: backbone.clone(),
            kernels: KernelSet::select(backbone.image().dtype())?,
            arena: Arena::new(layout, bytes)?,
            workers,
            shaped_for: Shape::default(),
        })
    }

    /// Bytes of arena that a session of one thread needs.
    pub fn arena_len(backbone: &Backbone) -> usize {
        layout(backbone, 1, Fusion::Rows).bytes()
    }

    /// [`Session::arena_len`] as a Cortex-M has it, on any machine.
    pub fn cortex_m_arena_len(backbone: &Backbone) -> usize {
        ArenaLayout::new(&backbone.image(), 1, Machine::CORTEX_M, Fusion::Rows).bytes()
    }

    /// The same session with memory for every layer's output: the layers of fused blocks are computed one after the other,
    /// and [`Session::run_observed`] shows them all. Scores stay the same, to the bit.
    ///
    /// # Errors
    /// [`Error::Memory`].
    #[cfg(feature = "alloc")]
    pub fn unfused(self) -> Result<Session<'static>, Error> {
        let layout = layout(&self.backbone, self.workers.threads(), Fusion::Whole);
        Ok(Session {
            arena: Arena::new(layout, ArenaBytes::allocate(layout.bytes())?)?,
            backbone: self.backbone,
            kernels: self.kernels,
            workers: self.workers,
            shaped_for: Shape::default(),
        })
    }

    /// Bytes of this session's arena: activations, scratch, scores of int8, shapes.
    pub fn arena_bytes(&self) -> usize {
        self.arena.bytes()
    }

    /// Threads that share a layer.
    pub fn threads(&self) -> usize {
        self.workers.threads()
    }

    /// Name of the kernels in use.
    pub fn kernels(&self) -> &'static str {
        self.kernels.name()
    }

    /// Uses the kernels of this name from now on, whatever was picked at load. [`kernel_names`](crate::kernel_names) has
    /// those of this machine.
    ///
    /// # Errors
    /// [`Error::Kernels`] where this machine has none of this name for the backbone's dtype.
    #[cfg(feature = "std")]
    pub fn use_kernels(&mut self, name: &str) -> Result<(), Error> {
        self.kernels = KernelSet::by_name(self.backbone.image().dtype(), name)?;
        Ok(())
    }

    /// Runs one image through the backbone as this patch has it, and returns the scores. Allocates nothing.
    ///
    /// # Errors
    /// [`Error::OtherBackbone`], [`Error::Untrusted`], [`Error::InputLength`]. [`Error::Image`] where the patch was bound to an import of the
    /// same backbone with a larger plan, or without `alloc` where its input is too small for the layers.
    pub fn run<'i>(&mut self, patch: &Patch, image: impl Into<Image<'i>>) -> Result<&[f32], Error> {
        self.run_and_show(patch, image.into(), &mut |_, _| {})
    }

    /// [`Session::run`] that shows each layer's index and output as soon as it is computed: those that are whole in memory,
    /// which those inside of fused blocks are in [`Session::unfused`] ones.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_observed<'i>(
        &mut self,
        patch: &Patch,
        image: impl Into<Image<'i>>,
        mut observe: impl FnMut(usize, LayerOutput<'_>),
    ) -> Result<&[f32], Error> {
        self.run_and_show(patch, image.into(), &mut observe)
    }

    /// [`Session::run`] that shows the embedding: what the head reads, and head learners learn from.
    ///
    /// # Errors
    /// As [`Session::run`]; [`Error::NoHead`].
    pub fn run_embedding<'i>(
        &mut self,
        patch: &Patch,
        image: impl Into<Image<'i>>,
        show: impl FnOnce(LayerOutput<'_>),
    ) -> Result<&[f32], Error> {
        let backbone = self.backbone.image();
        let embedding = backbone.embedding_layer().ok_or(Error::NoHead)?;
        let mut show = Some(show);
        self.run_and_show(patch, image.into(), &mut |layer, output| {
            if layer == embedding
                && let Some(show) = show.take()
            {
                show(output);
            }
        })
    }

    /// The memory of the arena between two runs, for whoever needs some: what is in it is lost.
    pub fn arena_mut(&mut self) -> &mut [u8] {
        self.shaped_for = Shape::default();
        self.arena.bytes_mut()
    }

    /// [`Session::run_observed`], once for all who observe.
    fn run_and_show(
        &mut self,
        patch: &Patch,
        image: Image<'_>,
        observe: &mut dyn FnMut(usize, LayerOutput<'_>),
    ) -> Result<&[f32], Error> {
        self.prepare(patch, &image)?;
        let layers = 0..self.backbone.image().layer_count();
        Ok(self.compute(patch, image, layers, observe))
    }

    /// Computes layers, whole steps of the plan, of what was prepared for. Returns the scores, if the last layer is among
    /// them.
    pub(crate) fn compute(
        &mut self,
        patch: &Patch,
        image: Image<'_>,
        layers: Range<usize>,
        observe: &mut dyn FnMut(usize, LayerOutput<'_>),
    ) -> &[f32] {
        let backbone = self.backbone.image();
        let start = backbone.tensor(0).offset;
        let is_start = layers.start == 0;
        let fusion = self.arena.fusion();
        let Parts {
            activations,
            scratch,
            scratch_per_thread,
            scores,
            shapes,
            saved: _,
        } = self.arena.parts();
        let workers = &mut self.workers;
        match self.kernels {
            KernelSet::F32(kernels) => {
                let arithmetic = Float {
                    kernels: float(kernels),
                };
                let activations = floats(activations);
                if is_start {
                    let tensor = &mut activations[start / size_of::<f32>()..];
                    input::write(image, patch, |value| value, tensor, workers);
                }
                let memory = Memory {
                    activations,
                    scratch: floats(scratch),
                    scratch_per_thread: scratch_per_thread / size_of::<f32>(),
                    shapes,
                    fusion,
                    workers,
                };
                let observe = &mut |layer, output: &[f32]| observe(layer, LayerOutput::F32(output));
                engine::run(&backbone, patch, &arithmetic, layers, memory, observe)
            }
            KernelSet::I8(kernels) => {
                let scales = patch.scales(&backbone);
                let scale = |tensor: usize| scales[tensor].get().outer;
                let activations = bytes(activations);
                if is_start {
                    let input = scale(0);
                    let byte = |value| input.byte(value);
                    input::write(image, patch, byte, &mut activations[start..], workers);
                }
                let memory = Memory {
                    activations,
                    scratch: bytes(scratch),
                    scratch_per_thread,
                    shapes,
                    fusion,
                    workers,
                };
                let arithmetic = Int8 { kernels, scales };
                let observe = &mut |layer: usize, output: &[i8]| {
                    observe(layer, LayerOutput::I8(output, scale(layer + 1)));
                };
                let stored = engine::run(&backbone, patch, &arithmetic, layers, memory, observe);
                // An output before the last is no scores, and may be larger.
                let length = stored.len().min(scores.len());
                let scores = &mut scores[..length];
                for (score, &byte) in scores.iter_mut().zip(stored) {
                    *score = scale(backbone.layer_count()).value(byte);
                }
                scores
            }
        }
    }

    /// Checks that the patch and the image can run, and has the shapes of the patch's input in the arena.
    pub(crate) fn prepare(&mut self, patch: &Patch, image: &Image<'_>) -> Result<(), Error> {
        let backbone = self.backbone.image();
        if patch.backbone_id() != backbone.id() {
            return Err(Error::OtherBackbone {
                found: patch.backbone_id(),
                expected: backbone.id(),
            });
        }
        let trust = self.backbone.trust();
        if trust.is_some_and(|trust| !patch.is_trusted(trust)) {
            return Err(Error::Untrusted);
        }
        // The id leaves the plan out: a patch bound to an import with more room comes with the same one.
        if patch.classes() > backbone.max_classes() {
            return Err(Error::Image(ImageError::TooManyClasses {
                found: patch.classes(),
                expected: backbone.max_classes(),
            }));
        }
        let input = patch.input();
        if self.shaped_for != input.shape {
            self.shaped_for = Shape::default();
            infer_shapes(&backbone, input.shape, self.arena.parts().shapes)?;
            self.shaped_for = input.shape;
        }
        let (found, expected) = (image.len(), input.shape.len());
        if found != expected {
            return Err(Error::InputLength { found, expected });
        }
        Ok(())
    }
}

fn layout(backbone: &Backbone, threads: usize, fusion: Fusion) -> ArenaLayout {
    ArenaLayout::new(&backbone.image(), threads, Machine::HERE, fusion)
}
