//! The memory of an image.

/// Bytes of an image: in flash or the program itself, on the heap, or in a file mapping. Cloning shares them.
///
/// ```
/// # std::env::set_current_dir("../tools/assets/demo").unwrap();
/// // A patch can be read without its backbone.
/// let bytes = graft_runtime::ImageBytes::read("fashion.patch".as_ref())?;
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

    /// Reads a file to the heap: whatever becomes of the file, these bytes stay what they are.
    ///
    /// # Errors
    /// [`crate::Error::File`].
    #[cfg(feature = "std")]
    pub fn read(path: &std::path::Path) -> Result<Self, crate::Error> {
        use std::io::Read as _;
        let read = || {
            let (mut file, length) = open(path)?;
            let mut buffer = AlignedBytes::try_zeroed(length)?;
            file.read_exact(buffer.as_mut_slice())?;
            Ok(Self(Storage::Heap(alloc::sync::Arc::new(buffer))))
        };
        read().map_err(in_file(path))
    }

    /// Maps a file read-only. The pages are shared with every other mapping of the file, in this process or another, and
    /// are read from the disk when they are first used.
    ///
    /// # Safety
    /// Nobody writes to the file or shortens it for as long as these bytes, or a clone of them, are there; to rename or
    /// delete it is fine. Otherwise bytes that were checked change while they are read, which is undefined behaviour, or are
    /// no longer there, which ends the program (SIGBUS). The threat model (`SECURITY.md`) says how to keep this promise.
    ///
    /// # Errors
    /// [`crate::Error::File`].
    #[cfg(feature = "std")]
    pub unsafe fn map(path: &std::path::Path) -> Result<Self, crate::Error> {
        let map = || {
            let (file, _) = open(path)?;
            // SAFETY: the mapping is read-only, and by the caller's promise the file stays as it is.
            let map = unsafe { memmap2::Mmap::map(&file) }?;
            Ok(Self(Storage::Mapped(alloc::sync::Arc::new(map))))
        };
        map().map_err(in_file(path))
    }
}

/// A file and its length.
#[cfg(feature = "std")]
fn open(path: &std::path::Path) -> std::io::Result<(std::fs::File, usize)> {
    let file = std::fs::File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(std::io::ErrorKind::IsADirectory.into());
    }
    let length = usize::try_from(metadata.len());
    let length = length.map_err(|_| std::io::Error::from(std::io::ErrorKind::FileTooLarge))?;
    Ok((file, length))
}

#[cfg(feature = "std")]
fn in_file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> crate::Error {
    move |source| crate::Error::File {
        path: path.into(),
        source,
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

    /// The same, or an error: a file may say that it has any length.
    #[cfg(feature = "std")]
    fn try_zeroed(length: usize) -> std::io::Result<Self> {
        let count = length.div_ceil(64);
        let mut lines = alloc::vec::Vec::new();
        lines
            .try_reserve_exact(count)
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::OutOfMemory))?;
        lines.resize(count, Line([0; 64]));
        Ok(Self { lines, length })
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
