//! Decoded images on the disk, for the next run.
//!
//! A file is named by a digest of all that the images were made from. It holds the digest of the rest, the length of
//! the contents, the contents as JSON, the pixels. Whatever is wrong with it, the images are decoded again.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use blake3::Hasher;

use super::cache::{Cache, Contents, Form};
use super::dataset::Dataset;
use crate::output;

/// Changes whenever decoding, scaling or this layout does.
const VERSION: &str = "graft images 3";
/// Bytes that all cache files together may take.
const MAX_BYTES: u64 = 4 << 30;
/// Bytes before the contents: a digest and a length.
const HEAD: usize = 32 + 8;

/// Folder of cached images: `graft/images` in `$XDG_CACHE_HOME` or `~/.cache`; none if neither is known.
pub fn default_folder() -> Option<PathBuf> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base =
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("graft").join("images"))
}

/// The file for one selection of images in one form.
#[derive(Debug)]
pub(super) struct CacheFile {
    folder: PathBuf,
    path: PathBuf,
}

impl CacheFile {
    /// `None` if the images cannot even be looked at: there is nothing to tell whether they changed.
    pub(super) fn new(
        folder: &Path,
        dataset: &Dataset,
        indices: &[usize],
        form: &impl Form,
    ) -> Option<Self> {
        let mut hasher = Hasher::new();
        let mut add = |part: &str| {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        };
        add(VERSION);
        add(env!("CARGO_PKG_VERSION"));
        add(&form.parameters());
        add(&format!("{:?}", dataset.classes()));
        for &index in indices {
            add(&dataset.stamp(index).ok()?);
            add(&dataset.items()[index].class.to_string());
        }
        Some(Self {
            folder: folder.to_owned(),
            path: folder.join(hasher.finalize().to_hex().as_str()),
        })
    }

    /// The images, if the file is there and whole.
    pub(super) fn read(&self, form: &impl Form) -> Option<Cache> {
        match self.try_read() {
            Ok((contents, pixels)) => Cache::new(contents, pixels, form),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let path = self.path.display();
                tracing::warn!(
                    "decoding the images again: cannot use the cached ones, {path}: {error}"
                );
                None
            }
        }
    }

    fn try_read(&self) -> io::Result<(Contents, Vec<u8>)> {
        let mut file = File::open(&self.path)?;
        let (mut digest, mut length) = ([0; 32], [0; 8]);
        file.read_exact(&mut digest)?;
        file.read_exact(&mut length)?;
        let rest = file.metadata()?.len().saturating_sub(HEAD as u64);
        let contents_length = u64::from_le_bytes(length);
        let Some(pixels_length) = rest.checked_sub(contents_length) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let contents = read_vec(&mut file, contents_length)?;
        let pixels = read_vec(&mut file, pixels_length)?;
        if digest_of(&contents, &pixels) != digest {
            return Err(io::Error::other("its digest is wrong"));
        }
        // What was used last is removed last.
        let _ = file.set_modified(SystemTime::now());
        Ok((serde_json::from_slice(&contents)?, pixels))
    }

    /// Keeps the images for the next run, if there is room and nothing failed that may work the next time.
    pub(super) fn write(&self, cache: &Cache) {
        let passing = cache.unreadable().iter().any(|image| image.passing);
        if passing || cache.bytes() as u64 > MAX_BYTES {
            return;
        }
        if let Err(error) = self.try_write(cache) {
            let (folder, hint) = (self.folder.display(), error.hint());
            tracing::warn!("the decoded images are not kept in {folder}: {error} ({hint})");
        }
    }

    fn try_write(&self, cache: &Cache) -> Result<(), output::OutputError> {
        // If there is no folder, the writer says so better than this does.
        let _ = fs::create_dir_all(&self.folder);
        make_room(&self.folder, MAX_BYTES - cache.bytes() as u64);
        output::write_atomically(&self.path, true, |file| {
            let contents = serde_json::to_vec(&cache.contents)?;
            file.write_all(&digest_of(&contents, &cache.pixels))?;
            file.write_all(&(contents.len() as u64).to_le_bytes())?;
            file.write_all(&contents)?;
            file.write_all(&cache.pixels)
        })
    }
}

fn digest_of(contents: &[u8], pixels: &[u8]) -> [u8; 32] {
    *Hasher::new()
        .update(contents)
        .update(pixels)
        .finalize()
        .as_bytes()
}

fn read_vec(file: &mut File, length: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(io::Error::other)?;
    bytes.resize(length, 0);
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Whether a cache file may have this name, a digest in hexadecimal, or what a kill left of one. Whatever else is in the
/// folder is the user's.
fn is_ours(name: &OsStr) -> bool {
    let bytes = name.as_encoded_bytes();
    let is_digest = bytes.len() == 64 && bytes.iter().all(u8::is_ascii_hexdigit);
    is_digest || output::is_temporary(name)
}

/// Removes the cache files that were not used for the longest time until all of them take at most `allowed` bytes.
fn make_room(folder: &Path, allowed: u64) {
    let mut files: Vec<(SystemTime, u64, PathBuf)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok().filter(|entry| is_ours(&entry.file_name()))?;
            let metadata = entry.metadata().ok().filter(|found| found.is_file())?;
            Some((metadata.modified().ok()?, metadata.len(), entry.path()))
        })
        .collect();
    files.sort();
    let mut total: u64 = files.iter().map(|file| file.1).sum();
    for (_, length, path) in files {
        if total <= allowed {
            return;
        }
        if fs::remove_file(path).is_ok() {
            total -= length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_was_not_used_for_long_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let ages = [
            ("b", 30),
            ("d", 10),
            ("a", 40),
            ("c", 20),
            ("photos.tar", 50),
            (".patchtool-cut-off.tmp", 50),
        ];
        for (name, age) in ages {
            let name = if name.len() == 1 {
                name.repeat(64)
            } else {
                name.into()
            };
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_len(100).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age))
                .unwrap();
        }
        let left = |allowed| {
            make_room(folder.path(), allowed);
            let names = fs::read_dir(folder.path()).unwrap();
            let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = names.map(|name| name[..1].to_owned()).collect();
            names.sort();
            names.concat()
        };
        assert_eq!(left(500), ".abcdp");
        assert_eq!(left(499), "abcdp");
        assert_eq!(left(399), "bcdp");
        assert_eq!(left(199), "dp");
        assert_eq!(left(0), "p", "a file of the user's stays");
        make_room(Path::new("/no/such/folder"), 0);
    }
}
