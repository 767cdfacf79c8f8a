//! Runs a backbone with a patch.

use graft_patches::ImageError;
use graft_patches::geometry::Shape;
use graft_patches::plan::infer_shapes;

use crate::arena::{Arena, ArenaBytes, ArenaLayout};
use crate::engine;
use crate::kernels::{self, Kernels};
use crate::workers::Workers;
use crate::{Backbone, Error, Patch};

/// An input image, NHWC, of the size that the patch's input says.
#[derive(Clone, Copy, Debug)]
pub enum Image<'a> {
    /// 8-bit pixels, normalised by the patch's mean and standard deviation.
    Pixels(&'a [u8]),
    /// Values that are normalised already.
    Values(&'a [f32]),
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for Image<'a> {
    fn from(pixels: &'a T) -> Self {
        Self::Pixels(pixels.as_ref())
    }
}

/// The memory and threads to run a backbone. Any patch of the backbone can be given at each call.
pub struct Session<'a> {
    backbone: Backbone,
    kernels: &'static Kernels,
    arena: Arena<'a>,
    workers: Workers,
    /// Input that the arena's shapes are for.
    shaped_for: Shape,
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
        let layout = ArenaLayout::new(&backbone.image(), workers.threads());
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
        let layout = ArenaLayout::new(&backbone.image(), 1);
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
            kernels: kernels::select()?,
            arena: Arena::new(layout, bytes)?,
            workers,
            shaped_for: Shape::default(),
        })
    }

    /// Bytes of arena that a session of one thread needs.
    pub fn arena_len(backbone: &Backbone) -> usize {
        ArenaLayout::new(&backbone.image(), 1).bytes()
    }

    /// Bytes of this session's arena: activations, scratch, shapes.
    pub fn arena_bytes(&self) -> usize {
        self.arena.bytes()
    }

    /// Threads that share a layer.
    pub fn threads(&self) -> usize {
        self.workers.threads()
    }

    /// Name of the kernels in use.
    pub fn kernels(&self) -> &'static str {
        self.kernels.name
    }

    /// Uses these kernels from now on, whatever was picked at load.
    pub fn use_kernels(&mut self, kernels: &'static Kernels) {
        self.kernels = kernels;
    }

    /// Runs one image through the backbone as this patch has it, and returns the scores. Allocates nothing.
    ///
    /// # Errors
    /// [`Error::OtherBackbone`], [`Error::InputLength`]. [`Error::Image`] where the patch was bound to an import of the
    /// same backbone with a larger plan, or without `alloc` where its input is too small for the layers.
    pub fn run<'i>(&mut self, patch: &Patch, image: impl Into<Image<'i>>) -> Result<&[f32], Error> {
        self.run_observed(patch, image, |_, _| {})
    }

    /// [`Session::run`] that shows each layer's index and output as soon as it is computed.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_observed<'i>(
        &mut self,
        patch: &Patch,
        image: impl Into<Image<'i>>,
        observe: impl FnMut(usize, &[f32]),
    ) -> Result<&[f32], Error> {
        let Self {
            backbone,
            kernels,
            arena,
            workers,
            shaped_for,
        } = self;
        let backbone = backbone.image();
        if patch.backbone_id() != backbone.id() {
            return Err(Error::OtherBackbone {
                found: patch.backbone_id(),
                expected: backbone.id(),
            });
        }
        // The id leaves the plan out: a patch bound to an import with more room comes with the same one.
        if patch.classes() > backbone.max_classes() {
            return Err(Error::Image(ImageError::TooManyClasses {
                found: patch.classes(),
                expected: backbone.max_classes(),
            }));
        }
        let input = patch.input();
        let parts = arena.parts();
        if *shaped_for != input.shape {
            *shaped_for = Shape::default();
            infer_shapes(&backbone, input.shape, parts.shapes)?;
            *shaped_for = input.shape;
        }
        load(
            image.into(),
            patch,
            &mut parts.activations[plan_start(&backbone)..],
        )?;
        Ok(engine::run(
            &backbone, patch, kernels, parts, workers, observe,
        ))
    }
}

/// First float of the input in the arena.
fn plan_start(backbone: &graft_patches::BackboneImage<'_>) -> usize {
    backbone.tensor(0).offset / size_of::<f32>()
}

/// Writes the image to the input tensor, normalised.
fn load(image: Image<'_>, patch: &Patch, tensor: &mut [f32]) -> Result<(), Error> {
    let input = patch.input();
    let expected = input.shape.len();
    let found = match image {
        Image::Pixels(pixels) => pixels.len(),
        Image::Values(values) => values.len(),
    };
    if found != expected {
        return Err(Error::InputLength { found, expected });
    }
    match image {
        Image::Values(values) => tensor[..expected].copy_from_slice(values),
        Image::Pixels(pixels) => {
            let channels = input.shape.channels;
            let pixels = pixels.chunks_exact(channels);
            for (to, from) in tensor.chunks_exact_mut(channels).zip(pixels) {
                for (c, (to, &from)) in to.iter_mut().zip(from).enumerate() {
                    *to = (f32::from(from) - input.mean[c]) / input.std[c];
                }
            }
        }
    }
    Ok(())
}
