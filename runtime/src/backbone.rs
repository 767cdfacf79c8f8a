//! The shared, frozen part.

use graft_patches::signature::Trust;
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
    #[cfg(feature = "trust")]
    trust: Option<Trust>,
}

impl Backbone {
    /// Reads a `.backbone` file to memory of its own and checks all of it.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::InvalidFile`].
    #[cfg(feature = "std")]
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::check(ImageBytes::read(path)?, Verify::Full).map_err(|error| error.in_file(path))
    }

    /// Maps a `.backbone` file: all processes that map it share its pages, and with [`Verify::Structure`] none is read
    /// before it is used.
    ///
    /// # Safety
    /// As [`ImageBytes::map`]: nobody writes to the file or shortens it while it is mapped.
    ///
    /// # Errors
    /// As [`Backbone::open`].
    #[cfg(feature = "std")]
    pub unsafe fn map(path: impl AsRef<std::path::Path>, verify: Verify) -> Result<Self, Error> {
        let path = path.as_ref();
        // SAFETY: by the caller's promise.
        let bytes = unsafe { ImageBytes::map(path) }?;
        Self::check(bytes, verify).map_err(|error| error.in_file(path))
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
        Ok(Self {
            bytes,
            index,
            #[cfg(feature = "trust")]
            trust: None,
        })
    }

    /// The same backbone with a policy, which nothing takes off it again: every patch that is bound to it, or to a clone of
    /// it, is signed with a trusted key, and its sessions and slots run no others.
    ///
    /// ```
    /// # std::env::set_current_dir("../tools/assets/demo").unwrap();
    /// use graft_patches::signature::Trust;
    /// use graft_patches::writer::{SigningKey, sign};
    /// use graft_runtime::{Backbone, Error, ImageError, Patch};
    ///
    /// let key = SigningKey::from_seed([7; 32]); // from a file that `patchtool keygen` has made
    /// let backbone = Backbone::open("demo.backbone")?.trusting(Trust::one(key.public()));
    /// let bytes = std::fs::read("fashion.patch").expect("the demo has it");
    /// let refused = Patch::from_bytes(&bytes, &backbone);
    /// assert!(matches!(refused, Err(Error::Image(ImageError::Unsigned))));
    ///
    /// let signed = sign(graft_runtime::ImageBytes::copied(&bytes).as_slice(), &key, 1)?;
    /// let fashion = Patch::from_bytes(&signed, &backbone)?;
    /// assert_eq!(fashion.signed().map(|signed| signed.counter), Some(1));
    /// # Ok::<(), Error>(())
    /// ```
    #[cfg(feature = "trust")]
    #[must_use]
    pub fn trusting(self, trust: Trust) -> Self {
        Self {
            trust: Some(trust),
            ..self
        }
    }

    /// The policy of `Backbone::trusting`.
    pub fn trust(&self) -> Option<&Trust> {
        #[cfg(feature = "trust")]
        return self.trust.as_ref();
        #[cfg(not(feature = "trust"))]
        None
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
