//! Errors of open, bind and run.

use graft_patches::{Digest, ImageError};

use crate::kernels::KernelError;

/// The reason why a backbone, patch or session was refused. [`Error::hint`] says what to do.
///
/// ```
/// # std::env::set_current_dir("../tools/assets/demo").unwrap();
/// use graft_runtime::{Backbone, Error, Session};
///
/// let backbone = Backbone::open("demo.backbone")?;
/// let mut session = Session::new(&backbone)?;
/// let error = session.run(&backbone.identity(), &[0; 7]).expect_err("an image of seven values");
/// assert!(matches!(error, Error::InputLength { found: 7, expected: 6912 }));
/// assert_eq!(error.to_string(), "the image has 7 values, the patch's input has 6912");
/// println!("{error}: {}", error.hint());
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be opened, read or mapped.
    #[cfg(feature = "std")]
    #[error("cannot open {}", path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file that is no valid image.
    #[cfg(feature = "std")]
    #[error("cannot use {}", path.display())]
    InvalidFile {
        /// The file.
        path: std::path::PathBuf,
        /// The fault in it.
        source: ImageError,
    },
    /// Bytes that are no valid image, or a patch that does not fit its backbone.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A patch that was bound to another backbone than the session's.
    #[error("the patch is bound to backbone {found}, the session runs {expected}")]
    OtherBackbone {
        /// Backbone of the patch.
        found: Digest,
        /// Backbone of the session.
        expected: Digest,
    },
    /// A patch that was bound without a policy, or signed with a key that this backbone does not trust.
    #[error("nobody has checked that the patch is signed with a key that this backbone trusts")]
    Untrusted,
    /// An image of another size than the patch's input.
    #[error("the image has {found} values, the patch's input has {expected}")]
    InputLength {
        /// Values given.
        found: usize,
        /// Height x width x channels of the patch's input.
        expected: usize,
    },
    /// An arena that is too small or misaligned.
    #[error("the arena has {found} bytes aligned to 64, the session needs {expected}")]
    Arena {
        /// Bytes given; 0 where they are misaligned.
        found: usize,
        /// Bytes needed.
        expected: usize,
    },
    /// No memory, or too little or misaligned memory, to widen values in half precision.
    #[error(
        "the patch stores values in half precision: it needs {expected} bytes aligned to 64 to widen them, found {found}"
    )]
    Widen {
        /// Bytes given; 0 where there are none or they are misaligned.
        found: usize,
        /// Bytes needed.
        expected: usize,
    },
    /// The system has no memory for an arena.
    #[cfg(feature = "std")]
    #[error("no memory for an arena of {bytes} bytes")]
    Memory {
        /// Bytes asked for.
        bytes: usize,
        /// The system's error.
        source: std::io::Error,
    },
    /// Kernels that this machine does not have.
    #[error(transparent)]
    Kernels(#[from] KernelError),
    /// An int8 backbone: it cannot be trained.
    #[cfg(feature = "gradient")]
    #[error("the backbone is {found}, patches are trained on f32 ones")]
    NotFloat {
        /// Dtype of the backbone.
        found: graft_patches::records::Dtype,
    },
    /// A backbone without an embedding to learn a head for.
    #[error("the backbone does not end in a head behind other layers")]
    NoHead,
    /// A head that scores each of several pixels.
    #[cfg(feature = "gradient")]
    #[error("the head scores {found} pixels of this input, expected 1")]
    HeadPixels {
        /// Output pixels of the head.
        found: usize,
    },
    /// A head without classes.
    #[cfg(feature = "gradient")]
    #[error("0 classes, a head has at least 1")]
    NoClasses,
    /// Other classes than those of a head that is not trained.
    #[cfg(feature = "gradient")]
    #[error("{found} classes, the head is not trained and has {expected}")]
    FrozenHead {
        /// Classes asked for.
        found: usize,
        /// Outputs of the backbone's head.
        expected: usize,
    },
    /// A session cannot start its threads.
    #[cfg(feature = "std")]
    #[error("cannot start {threads} threads")]
    Threads {
        /// Threads asked for.
        threads: usize,
        /// The system's error.
        source: std::io::Error,
    },
}

impl Error {
    /// The remedy, for the user.
    pub fn hint(&self) -> &'static str {
        match self {
            #[cfg(feature = "std")]
            Self::File { .. } => "check the path and its permissions",
            #[cfg(feature = "std")]
            Self::InvalidFile { source, .. } => source.hint(),
            Self::Image(error) => error.hint(),
            Self::OtherBackbone { .. } => "open the patch with the backbone that the session runs",
            Self::Untrusted => "open the patch with the backbone that the session or the slot has",
            Self::InputLength { .. } => {
                "give height x width x channels values of the patch's own resolution, NHWC"
            }
            Self::Widen { .. } => {
                "give the memory with Patch::from_static_in, or export the patch without --f16"
            }
            Self::Arena { .. } => {
                "give Session::arena_len bytes, for run_many Session::many_arena_len, aligned to 64"
            }
            #[cfg(feature = "std")]
            Self::Memory { .. } => {
                "import the backbone at a smaller --resolution, or end other programs"
            }
            Self::Kernels(error) => error.hint(),
            #[cfg(feature = "gradient")]
            Self::NotFloat { .. } => {
                "give the f32 backbone; then export with the int8 one and --calibrate"
            }
            Self::NoHead => {
                "import a model whose last layer is fully connected or a pointwise convolution"
            }
            #[cfg(feature = "gradient")]
            Self::HeadPixels { .. } => {
                "train on the input size that the model was made for, or import one that pools before its head"
            }
            #[cfg(feature = "gradient")]
            Self::NoClasses => "give at least one class",
            #[cfg(feature = "gradient")]
            Self::FrozenHead { .. } => "train the head too, or give as many classes as it has",
            #[cfg(feature = "std")]
            Self::Threads { .. } => "ask for 1 to 256 threads",
        }
    }
}
