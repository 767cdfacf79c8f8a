//! The memory of an image.

/// Bytes of an image: in flash or the program itself, in a file mapping, or on the heap. Cloning shares them.
///
/// ```
/// # std::env::set_current_dir("../tools/assets/demo").unwrap();
/// // A patch can be read without its backbone.
/// let bytes = graft_runtime::ImageBytes::map("fashion.patch".as_ref())?;
/// let patch = graft_patches::PatchImage::open(bytes.as_slice(), graft_runtime::Verify::Full)?;
/// assert_eq!(patch.metadata()?.labels.len(), 10);
/// # Ok::<(), graft_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct ImageBytes(Storage);

#[derive(Clone)]
enum Storage {
    Static(&'static [u8]),
    #[cfg(feature = "alloc")]
    Heap(alloc::sync::Arc<AlignedBytes>),
    #[cfg(feature = "std")]
    Mapped(alloc::sync::Arc<memmap2::Mmap>),
}

impl ImageBytes {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Storage::Static(bytes) => bytes,
            #[cfg(feature = "alloc")]
            Storage::Heap(bytes) => bytes.as_slice(),
            #[cfg(feature = "std")]
            Storage::Mapped(map) => map,
        }
    }

    pub(crate) fn from_static(bytes: &'static [u8]) -> Self {
        Self(Storage::Static(bytes))
    }

    /// Copies bytes to the heap, aligned.
    #[cfg(feature = "alloc")]
    pub fn copied(bytes: &[u8]) -> Self {
        Self::filled(bytes.len(), |buffer| buffer.copy_from_slice(bytes))
    }

    /// Aligned bytes on the heap, zeros that `fill` writes over.
    #[cfg(feature = "alloc")]
    pub(crate) fn filled(length: usize, fill: impl FnOnce(&mut [u8])) -> Self {
        let mut buffer = AlignedBytes::zeroed(length);
        fill(buffer.as_mut_slice());
        Self(Storage::Heap(alloc::sync::Arc::new(buffer)))
    }

    /// Maps a file read-only. The pages are shared with every other mapping of the file, in this process or another.
    ///
    /// # Errors
    /// [`crate::Error::File`].
    #[cfg(feature = "std")]
    pub fn map(path: &std::path::Path) -> Result<Self, crate::Error> {
        let failed = |source| crate::Error::File {
            path: path.into(),
            source,
        };
        let file = std::fs::File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(failed(std::io::ErrorKind::IsADirectory.into()));
        }
        // SAFETY: the mapping is read-only. A file that another process shortens or rewrites while it is mapped breaks
        // any reader of a map; images are published by rename and never written in place (crate docs, "Files").
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(failed)?;
        Ok(Self(Storage::Mapped(alloc::sync::Arc::new(map))))
    }
}

/// A heap buffer that starts at a multiple of 64.
#[cfg(feature = "alloc")]
pub(crate) struct AlignedBytes {
    lines: alloc::vec::Vec<Line>,
    length: usize,
}

#[cfg(feature = "alloc")]
#[derive(Clone, Copy, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

#[cfg(feature = "alloc")]
impl AlignedBytes {
    pub(crate) fn zeroed(length: usize) -> Self {
        Self {
            lines: alloc::vec![Line([0; 64]); length.div_ceil(64)],
            length,
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        use zerocopy::IntoBytes;
        &self.lines.as_bytes()[..self.length]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        use zerocopy::IntoBytes;
        &mut self.lines.as_mut_bytes()[..self.length]
    }
}
