//! The shared, frozen part.

use graft_patches::{BackboneImage, BackboneIndex, Digest, Verify};

use crate::bytes::ImageBytes;
use crate::{Error, Patch};

/// A frozen network, opened once and shared by all patches, sessions and threads. Cloning is cheap and shares the
/// bytes; weights are read in place.
///
/// ```
/// # std::env::set_current_dir("../tools/assets/demo").unwrap();
/// use graft_runtime::Backbone;
///
/// let backbone = Backbone::open("demo.backbone")?;
/// let image = backbone.image(); // layers, sites, plan, metadata
/// assert_eq!(image.input().shape.to_string(), "48x48x3");
/// println!("{} layers, {} sites, id {}", image.layer_count(), image.site_count(), backbone.id());
/// # Ok::<(), graft_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct Backbone {
    bytes: ImageBytes,
    index: BackboneIndex,
}

impl Backbone {
    /// Maps a `.backbone` file and checks all of it. See the crate docs, "Files", on files that change while mapped.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::InvalidFile`].
    #[cfg(feature = "std")]
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self, Error> {
        Self::open_with(path, Verify::Full)
    }

    /// [`Backbone::open`] with a choice of how much is checked.
    ///
    /// # Errors
    /// As [`Backbone::open`].
    #[cfg(feature = "std")]
    pub fn open_with(path: impl AsRef<std::path::Path>, verify: Verify) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::check(ImageBytes::map(path)?, verify).map_err(|error| error.in_file(path))
    }

    /// Uses bytes in place, in flash or linked into the program. They must be aligned to 64.
    ///
    /// # Errors
    /// [`Error::Image`].
    pub fn from_static(bytes: &'static [u8], verify: Verify) -> Result<Self, Error> {
        Self::check(ImageBytes::from_static(bytes), verify)
    }

    /// Copies bytes to aligned heap memory and checks all of them.
    ///
    /// # Errors
    /// [`Error::Image`].
    #[cfg(feature = "alloc")]
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Self::check(ImageBytes::copied(bytes), Verify::Full)
    }

    fn check(bytes: ImageBytes, verify: Verify) -> Result<Self, Error> {
        let index = BackboneImage::open(bytes.as_slice(), verify)?.index();
        Ok(Self { bytes, index })
    }

    /// The image: layers, sites, plan, metadata.
    pub fn image(&self) -> BackboneImage<'_> {
        BackboneImage::from_index(self.bytes.as_slice(), self.index)
    }

    /// The id that patches name: the BLAKE3 digest of the frozen part.
    pub fn id(&self) -> Digest {
        self.image().id()
    }

    /// The backbone's own epilogues and head, as a patch like any other.
    pub fn identity(&self) -> Patch {
        Patch::identity(self)
    }
}

impl core::fmt::Debug for Backbone {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Backbone({:?})", self.id())
    }
}

impl Error {
    #[cfg(feature = "std")]
    pub(crate) fn in_file(self, path: &std::path::Path) -> Self {
        if let Self::Image(source) = self {
            let path = path.into();
            return Self::InvalidFile { path, source };
        }
        self
    }
}
