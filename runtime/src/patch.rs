//! A task's replacements, bound to a backbone.

use graft_patches::records::{Input, Kinds, What};
use graft_patches::{Digest, PatchImage, PatchIndex, Replacement, Verify};

use crate::bytes::ImageBytes;
use crate::{Backbone, Error};

/// A patch that was checked against its backbone: it can run, and cannot fail on the file's account. Cloning is cheap
/// and shares the bytes; values are read in place.
#[derive(Clone)]
pub struct Patch {
    /// None for the identity.
    file: Option<(ImageBytes, PatchIndex)>,
    backbone: Digest,
    input: Input,
    classes: usize,
    receipt: Receipt,
}

/// What binding a patch did.
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
    /// Bytes used in place: the file's. Nothing is copied.
    pub bytes_mapped: usize,
    /// First layer whose result differs from the backbone's; `None` for the identity.
    pub first_patched_layer: Option<usize>,
}

impl Patch {
    /// Maps a `.patch` file, checks all of it, and binds it to its backbone.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::InvalidFile`]: also where it was made for another backbone, does not have every site
    /// that its kinds demand, or has nothing in it.
    #[cfg(feature = "std")]
    pub fn open(path: impl AsRef<std::path::Path>, backbone: &Backbone) -> Result<Self, Error> {
        Self::open_with(path, backbone, Verify::Full)
    }

    /// [`Patch::open`] with a choice of how much is checked.
    ///
    /// # Errors
    /// As [`Patch::open`].
    #[cfg(feature = "std")]
    pub fn open_with(
        path: impl AsRef<std::path::Path>,
        backbone: &Backbone,
        verify: Verify,
    ) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::bind(ImageBytes::map(path)?, backbone, verify).map_err(|error| error.in_file(path))
    }

    /// Uses bytes in place, in flash or linked into the program. They must be aligned to 64.
    ///
    /// # Errors
    /// [`Error::Image`].
    pub fn from_static(
        bytes: &'static [u8],
        backbone: &Backbone,
        verify: Verify,
    ) -> Result<Self, Error> {
        Self::bind(ImageBytes::from_static(bytes), backbone, verify)
    }

    /// Copies bytes to aligned heap memory, checks all of them, and binds them.
    ///
    /// # Errors
    /// [`Error::Image`].
    #[cfg(feature = "alloc")]
    pub fn from_bytes(bytes: &[u8], backbone: &Backbone) -> Result<Self, Error> {
        Self::bind(ImageBytes::copied(bytes), backbone, Verify::Full)
    }

    fn bind(bytes: ImageBytes, backbone: &Backbone, verify: Verify) -> Result<Self, Error> {
        let image = PatchImage::open(bytes.as_slice(), verify)?;
        let base = backbone.image();
        image.check_against(&base)?;
        #[cfg(feature = "alloc")]
        if image.input().shape != base.input().shape {
            let mut shapes = alloc::vec![Default::default(); base.layer_count() + 1];
            graft_patches::plan::infer_shapes(&base, image.input().shape, &mut shapes)?;
        }
        let head = base.head().and_then(|head| image.find(head, What::Weights));
        let own = base.tensor(base.layer_count()).shape.channels;
        Ok(Self {
            backbone: base.id(),
            input: image.input(),
            classes: head.map_or(own, |head| head.outputs),
            receipt: receipt(&image, backbone),
            file: Some((bytes.clone(), image.index())),
        })
    }

    pub(crate) fn identity(backbone: &Backbone) -> Self {
        let image = backbone.image();
        Self {
            file: None,
            backbone: image.id(),
            input: image.input(),
            classes: image.tensor(image.layer_count()).shape.channels,
            receipt: Receipt::default(),
        }
    }

    /// The image; `None` for the identity, which has no file.
    pub fn image(&self) -> Option<PatchImage<'_>> {
        self.file
            .as_ref()
            .map(|(bytes, index)| PatchImage::from_index(bytes.as_slice(), *index))
    }

    /// All replacements, in the order of their sites.
    pub(crate) fn replacements(&self) -> impl Iterator<Item = Replacement<'_>> {
        self.image()
            .into_iter()
            .flat_map(|image| image.replacements())
    }

    /// Id of the backbone that it is bound to.
    pub fn backbone_id(&self) -> Digest {
        self.backbone
    }

    /// Resolution and normalisation.
    pub fn input(&self) -> Input {
        self.input
    }

    /// Classes that a run scores; a run gives so many scores for each pixel that the backbone ends with, usually one.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// What binding did.
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

fn receipt(image: &PatchImage<'_>, backbone: &Backbone) -> Receipt {
    let mut receipt = Receipt {
        kinds: image.kinds(),
        bytes_mapped: image.bytes().len(),
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
        let layer = backbone.image().site(replacement.site).layer;
        receipt.first_patched_layer.get_or_insert(layer);
    }
    receipt
}
