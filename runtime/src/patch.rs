//! A task's replacements, bound to a backbone.

use graft_patches::container::ALIGN;
use graft_patches::records::{Input, Kinds, What};
use graft_patches::scale::ScaleRecord;
use graft_patches::signature::{PublicKey, Signed, Trust};
use graft_patches::{
    BackboneImage, Digest, PatchImage, PatchIndex, Replacement, Verify, first_difference,
};

use crate::bytes::ImageBytes;
use crate::widen::{as_read, wide_bytes, widen};
use crate::{Backbone, Error};

/// A patch that was checked against its backbone: it can run, and cannot fail on the file's account. Cloning is cheap
/// and shares the bytes; f32 and int8 values are read in place, those in half precision were widened when it was bound.
///
/// ```
/// # std::env::set_current_dir("../tools/assets/demo").unwrap();
/// use graft_runtime::{Backbone, Error, ImageError, Patch};
///
/// let backbone = Backbone::open("demo.backbone")?;
/// let fashion = Patch::open("fashion.patch", &backbone)?;
/// assert_eq!(fashion.classes(), 10);
/// let own = backbone.identity(); // the backbone's own epilogues and head: a patch like any other
/// assert_eq!(own.backbone_id(), fashion.backbone_id());
///
/// // A patch of another backbone is refused, with both ids in the error.
/// let other = Backbone::open("int8/demo.backbone")?;
/// let refused = Patch::open("fashion.patch", &other);
/// assert!(matches!(refused, Err(Error::InvalidFile { source: ImageError::WrongBackbone { .. }, .. })));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Patch {
    /// None for the identity.
    file: Option<File>,
    backbone: Digest,
    checked: Checked,
    /// The policy that it was bound under.
    #[cfg(feature = "std")]
    trust: Option<Trust>,
    input: Input,
    classes: usize,
    receipt: Receipt,
}

/// The origin of a patch's values, as the policy of its backbone has it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checked {
    /// There was no policy.
    Not,
    /// They are those of a backbone with a policy.
    Own,
    /// Signed with this key, which was trusted.
    By(PublicKey),
}

#[derive(Clone)]
struct File {
    bytes: ImageBytes,
    index: PatchIndex,
    /// Values in half precision, widened.
    wide: Option<ImageBytes>,
}

/// The result of binding a patch: sites replaced, bytes used.
///
/// ```
/// # std::env::set_current_dir("../tools/assets/demo").unwrap();
/// use graft_runtime::{Backbone, Patch};
///
/// let backbone = Backbone::open("demo.backbone")?;
/// let receipt = Patch::open("fashion.patch", &backbone)?.receipt();
/// assert_eq!(receipt.kinds.to_string(), "bn+head");
/// assert_eq!(receipt.epilogues, backbone.image().site_count()); // of every site, the head's among them
/// assert_eq!(receipt.weights, 1); // the head's
/// assert_eq!(receipt.bytes_widened, 0); // f32: nothing is copied
/// assert_eq!(backbone.identity().receipt().first_patched_layer, None);
/// # Ok::<(), graft_runtime::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Kinds that the patch combines.
    pub kinds: Kinds,
    /// Sites with at least one replacement.
    pub sites: usize,
    /// Epilogues replaced.
    pub epilogues: usize,
    /// Weight tensors replaced.
    pub weights: usize,
    /// Bytes of the image, which are used in place.
    pub bytes_mapped: usize,
    /// Bytes of memory for values that were widened from half precision; 0 for an f32 or int8 patch, of which nothing is
    /// copied.
    pub bytes_widened: usize,
    /// First layer that computes with other values than the backbone's own; `None` where all are the same, as of the
    /// identity. Not on microcontrollers, where it would take a kilobyte of flash.
    #[cfg(feature = "alloc")]
    pub first_patched_layer: Option<usize>,
}

impl Patch {
    /// Reads a `.patch` file to memory of its own, checks all of it, and binds it to its backbone.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::InvalidFile`]: also where it was made for another backbone, does not have every site
    /// that its kinds demand, has nothing in it, or is not signed as the backbone demands.
    #[cfg(feature = "std")]
    pub fn open(path: impl AsRef<std::path::Path>, backbone: &Backbone) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::bind(ImageBytes::read(path)?, backbone, Verify::Full)
            .map_err(|error| error.in_file(path))
    }

    /// [`Patch::open`] that maps the file: processes share its pages. For a backbone that trusts keys it is read to memory
    /// all the same, so that what was verified is what runs.
    ///
    /// # Safety
    /// As [`ImageBytes::map`]: nobody writes to the file or shortens it while it is mapped.
    ///
    /// # Errors
    /// As [`Patch::open`].
    #[cfg(feature = "std")]
    pub unsafe fn map(
        path: impl AsRef<std::path::Path>,
        backbone: &Backbone,
        verify: Verify,
    ) -> Result<Self, Error> {
        let path = path.as_ref();
        if backbone.trust().is_some() {
            return Self::open(path, backbone);
        }
        // SAFETY: by the caller's promise.
        let bytes = unsafe { ImageBytes::map(path) }?;
        Self::bind(bytes, backbone, verify).map_err(|error| error.in_file(path))
    }

    /// Uses bytes in place, in flash or linked into the program. They must be aligned to 64.
    ///
    /// # Errors
    /// [`Error::Image`]; without `alloc` also [`Error::Widen`] where values are in half precision.
    pub fn from_static(
        bytes: &'static [u8],
        backbone: &Backbone,
        verify: Verify,
    ) -> Result<Self, Error> {
        Self::bind(ImageBytes::from_static(bytes), backbone, verify)
    }

    /// [`Patch::from_static`], with values in half precision widened into the caller's memory, aligned to 64. An f32 or
    /// int8 patch leaves it as it is.
    ///
    /// The memory is the patch's from then on, so each bind takes a buffer of its own: bind every patch once and keep it.
    /// To swap bound patches takes none.
    ///
    /// # Errors
    /// [`Error::Image`], and [`Error::Widen`] where the memory is too small or misaligned.
    pub fn from_static_in(
        bytes: &'static [u8],
        backbone: &Backbone,
        verify: Verify,
        memory: &'static mut [u8],
    ) -> Result<Self, Error> {
        let bytes = ImageBytes::from_static(bytes);
        Self::bind_with(bytes, backbone, verify, |needed, fill| {
            let is_aligned = memory.as_ptr().addr().is_multiple_of(ALIGN);
            let found = if is_aligned { memory.len() } else { 0 };
            match memory.get_mut(..needed).filter(|_| is_aligned) {
                Some(wide) => {
                    fill(wide);
                    Ok(ImageBytes::from_static(wide))
                }
                None => Err(Error::Widen {
                    found,
                    expected: needed,
                }),
            }
        })
    }

    /// Bytes that [`Patch::from_static_in`] needs for the values of a patch in half precision; 0 for another.
    pub fn widened_len(image: &PatchImage<'_>) -> usize {
        wide_bytes(image)
    }

    /// Copies bytes to aligned heap memory, checks all of them, and binds them.
    ///
    /// # Errors
    /// [`Error::Image`].
    #[cfg(feature = "alloc")]
    pub fn from_bytes(bytes: &[u8], backbone: &Backbone) -> Result<Self, Error> {
        Self::bind(ImageBytes::copied(bytes), backbone, Verify::Full)
    }

    #[cfg(feature = "alloc")]
    fn bind(bytes: ImageBytes, backbone: &Backbone, verify: Verify) -> Result<Self, Error> {
        Self::bind_with(bytes, backbone, verify, |needed, fill| {
            Ok(ImageBytes::filled(needed, fill))
        })
    }

    #[cfg(not(feature = "alloc"))]
    fn bind(bytes: ImageBytes, backbone: &Backbone, verify: Verify) -> Result<Self, Error> {
        Self::bind_with(bytes, backbone, verify, |needed, _| {
            Err(Error::Widen {
                found: 0,
                expected: needed,
            })
        })
    }

    /// Checks and binds; `memory` gives as many bytes as it is asked for, aligned to 64, once its second argument has
    /// filled them.
    fn bind_with(
        bytes: ImageBytes,
        backbone: &Backbone,
        verify: Verify,
        memory: impl FnOnce(usize, &dyn Fn(&mut [u8])) -> Result<ImageBytes, Error>,
    ) -> Result<Self, Error> {
        let base = backbone.image();
        let (image, checked, verify) = match backbone.trust() {
            Some(trust) => {
                let (image, key) = PatchImage::open_signed(bytes.as_slice(), trust)?;
                (image, Checked::By(key), Verify::Full)
            }
            None => {
                let image = PatchImage::open(bytes.as_slice(), verify)?;
                (image, Checked::Not, verify)
            }
        };
        image.check_against(&base, verify)?;
        #[cfg(feature = "alloc")]
        if image.input().shape != base.input().shape {
            let mut shapes = alloc::vec![Default::default(); base.layer_count() + 1];
            graft_patches::plan::infer_shapes(&base, image.input().shape, &mut shapes)?;
        }
        let head = base.head().and_then(|head| image.find(head, What::Weights));
        let own = base.tensor(base.layer_count()).shape.channels;
        let bytes_widened = wide_bytes(&image);
        let wide = match bytes_widened {
            0 => None,
            needed => Some(memory(needed, &|wide| widen(&image, &base, wide))?),
        };
        let wide_bytes = wide.as_ref().map_or(&[][..], ImageBytes::as_slice);
        Ok(Self {
            backbone: base.id(),
            checked,
            #[cfg(feature = "std")]
            trust: backbone.trust().copied(),
            input: image.input(),
            classes: head.map_or(own, |head| head.outputs),
            receipt: Receipt {
                bytes_widened,
                ..receipt(&image, wide_bytes, &base)
            },
            file: Some(File {
                index: image.index(),
                bytes: bytes.clone(),
                wide,
            }),
        })
    }

    pub(crate) fn identity(backbone: &Backbone) -> Self {
        let image = backbone.image();
        Self {
            file: None,
            backbone: image.id(),
            checked: backbone.trust().map_or(Checked::Not, |_| Checked::Own),
            #[cfg(feature = "std")]
            trust: backbone.trust().copied(),
            input: image.input(),
            classes: image.tensor(image.layer_count()).shape.channels,
            receipt: Receipt::default(),
        }
    }

    /// The image; `None` for the identity, which has no file.
    pub fn image(&self) -> Option<PatchImage<'_>> {
        self.file
            .as_ref()
            .map(|file| PatchImage::from_index(file.bytes.as_slice(), file.index))
    }

    /// All replacements as kernels read them, in the order of their sites.
    pub(crate) fn replacements(&self) -> impl Iterator<Item = Replacement<'_>> {
        let wide = self.file.as_ref().and_then(|file| file.wide.as_ref());
        let wide = wide.map_or(&[][..], ImageBytes::as_slice);
        let image = self.image().into_iter();
        image.flat_map(move |image| replacements(&image, wide))
    }

    /// The scales of all tensors that it runs an int8 backbone with: its own, or without a file the backbone's.
    pub(crate) fn scales<'a>(&'a self, backbone: &BackboneImage<'a>) -> &'a [ScaleRecord] {
        match self.image() {
            Some(image) => image.scales(),
            None => backbone.scales(),
        }
    }

    /// The first layer that computes with other values than with another patch of the same backbone.
    pub(crate) fn first_difference(
        &self,
        other: &Self,
        backbone: &BackboneImage<'_>,
    ) -> Option<usize> {
        let scales = [self, other].map(|patch| patch.scales(backbone));
        first_difference(backbone, scales, self.replacements(), other.replacements())
    }

    /// Id of the backbone that it is bound to.
    pub fn backbone_id(&self) -> Digest {
        self.backbone
    }

    /// The policy that it was bound under.
    #[cfg(feature = "std")]
    pub(crate) fn trust(&self) -> Option<&Trust> {
        self.trust.as_ref()
    }

    /// Whether a backbone with this policy runs it: its own values, and what one of its keys has signed.
    pub(crate) fn is_trusted(&self, trust: &Trust) -> bool {
        match self.checked {
            Checked::By(signer) => trust.keys().any(|key| *key == signer),
            Checked::Own | Checked::Not => self.file.is_none(),
        }
    }

    /// What its signature says, checked where the backbone has a policy (`Backbone::trusting`); `None` where it has none.
    pub fn signed(&self) -> Option<Signed> {
        self.image()?.signed()
    }

    /// What scores are divided by before their softmax, for probabilities that come true: 1 where nobody has measured it.
    pub fn temperature(&self) -> f32 {
        let image = self.image();
        image.and_then(|image| image.temperature()).unwrap_or(1.0)
    }

    /// Resolution and normalisation.
    pub fn input(&self) -> Input {
        self.input
    }

    /// Classes that a run scores, for each pixel that the backbone ends with, usually one.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The result of binding.
    pub fn receipt(&self) -> Receipt {
        self.receipt
    }
}

impl core::fmt::Debug for Patch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Patch")
            .field("backbone", &self.backbone)
            .field("receipt", &self.receipt)
            .finish_non_exhaustive()
    }
}

/// All replacements of a patch as kernels read them; `wide` has what was widened.
fn replacements<'a>(
    image: &PatchImage<'a>,
    mut wide: &'a [u8],
) -> impl Iterator<Item = Replacement<'a>> + use<'a> {
    image.replacements().map(move |replacement| Replacement {
        values: as_read(replacement.values, &mut wide),
        ..replacement
    })
}

#[cfg_attr(
    not(feature = "alloc"),
    expect(unused_variables, reason = "not compared with the backbone")
)]
fn receipt<'a>(image: &PatchImage<'a>, wide: &'a [u8], backbone: &BackboneImage<'a>) -> Receipt {
    let mut receipt = Receipt {
        kinds: image.kinds(),
        bytes_mapped: image.bytes().len(),
        #[cfg(feature = "alloc")]
        first_patched_layer: first_difference(
            backbone,
            [image.scales(), backbone.scales()],
            replacements(image, wide),
            core::iter::empty(),
        ),
        ..Receipt::default()
    };
    let mut previous = None;
    for replacement in image.replacements() {
        match replacement.what {
            What::Epilogue => receipt.epilogues += 1,
            What::Weights => receipt.weights += 1,
        }
        if previous != Some(replacement.site) {
            receipt.sites += 1;
            previous = Some(replacement.site);
        }
    }
    receipt
}
