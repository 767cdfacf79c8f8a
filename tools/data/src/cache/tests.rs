//! Decoded images are kept, and found again only where nothing has changed.

use super::super::fixture;
use super::*;
use std::fs;

/// Images as they are.
struct Plain;

impl Form for Plain {
    fn parameters(&self) -> String {
        "plain".into()
    }

    fn keep(&self, image: RgbImage) -> (u32, u32, Vec<u8>) {
        (image.width(), image.height(), image.into_raw())
    }

    fn length(&self, width: u32, height: u32) -> Option<usize> {
        Some(3 * width as usize * height as usize)
    }
}

/// Opens all of a data set; also whether images were decoded for it.
fn open(data: &Path, folder: Option<&Path>) -> Result<(Cache, bool), CacheError> {
    let dataset = Dataset::open(data).unwrap();
    let all: Vec<usize> = (0..dataset.len()).collect();
    let mut heard = 0;
    let cache = Cache::open(&dataset, &all, &Plain, folder, |_| {
        heard += 1;
        true
    })?;
    Ok((cache, heard > 1))
}

fn same(a: &Cache, b: &Cache) {
    assert_eq!(a.len(), b.len());
    assert_eq!(
        (a.digest(), a.unreadable(), a.classes()),
        (b.digest(), b.unreadable(), b.classes())
    );
    for index in 0..a.len() {
        assert_eq!(a.kept(index), b.kept(index));
        assert_eq!(
            (a.name(index), a.class(index)),
            (b.name(index), b.class(index))
        );
    }
}

fn only_file(folder: &Path) -> std::path::PathBuf {
    let files: Vec<_> = fs::read_dir(folder).unwrap().collect();
    assert_eq!(files.len(), 1);
    files.into_iter().next().unwrap().unwrap().path()
}

#[test]
fn images_are_decoded_once() {
    let (data, folder) = (fixture::folder(&[4, 3], 5), tempfile::tempdir().unwrap());
    fs::write(data.path().join("class0/broken.png"), "broken").unwrap();
    let folder = folder.path().join("made/if/missing");
    let (first, decoded) = open(data.path(), Some(&folder)).unwrap();
    assert!(decoded && first.len() == 7 && first.bytes() == 7 * 5 * 5 * 3);
    assert_eq!(first.name(4), "class1/0.png");
    assert_eq!(first.class(4), 1);
    assert!(first.unreadable()[0].reason.contains("class0/broken.png"));
    let (second, decoded) = open(data.path(), Some(&folder)).unwrap();
    assert!(!decoded);
    same(&first, &second);
    same(&first, &open(data.path(), None).unwrap().0);
}

#[test]
fn images_of_another_set_are_known_again_by_their_pixels() {
    let (data, folder) = (fixture::folder(&[3, 2], 5), tempfile::tempdir().unwrap());
    let all = open(data.path(), Some(folder.path())).unwrap().0;
    assert_eq!(all.shared_with(&[&all]), 5);
    // A copy of one image by another name, and one that is new.
    let other = fixture::folder(&[1, 1], 5);
    let copied = other.path().join("class0/0.png");
    fs::copy(data.path().join("class1/1.png"), copied).unwrap();
    fixture::image(5, 200)
        .save(other.path().join("class1/0.png"))
        .unwrap();
    for folder in [None, Some(folder.path()), Some(folder.path())] {
        let other = open(other.path(), folder).unwrap().0;
        assert_eq!(all.shared_with(&[&other]), 1);
        assert_eq!(other.shared_with(&[&all]), 1);
        assert_eq!(other.shared_with(&[]), 0);
    }
}

#[test]
fn whoever_does_not_want_to_go_on_gets_nothing() {
    let (data, folder) = (fixture::folder(&[4, 3], 5), tempfile::tempdir().unwrap());
    let dataset = Dataset::open(data.path()).unwrap();
    let all: Vec<usize> = (0..dataset.len()).collect();
    let stopped = |last| {
        Cache::open(&dataset, &all, &Plain, Some(folder.path()), |count| {
            count < last
        })
    };
    assert!(matches!(stopped(3), Err(CacheError::Stopped)));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_eq!(stopped(8).unwrap().len(), 7);
    assert!(matches!(stopped(7), Err(CacheError::Stopped)));
}

#[test]
fn a_changed_image_is_noticed() {
    let (data, folder) = (fixture::folder(&[2, 2], 5), tempfile::tempdir().unwrap());
    let first = open(data.path(), Some(folder.path())).unwrap().0;
    fixture::image(9, 200)
        .save(data.path().join("class1/0.png"))
        .unwrap();
    let (second, decoded) = open(data.path(), Some(folder.path())).unwrap();
    assert!(decoded && first.digest() != second.digest());
}

#[test]
fn whatever_is_wrong_with_the_file_the_images_are_the_same() {
    let (data, folder) = (fixture::folder(&[2, 1], 3), tempfile::tempdir().unwrap());
    let first = open(data.path(), Some(folder.path())).unwrap().0;
    let path = only_file(folder.path());
    let whole = fs::read(&path).unwrap();
    let check = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let (cache, decoded) = open(data.path(), Some(folder.path())).unwrap();
        assert!(decoded);
        same(&first, &cache);
    };
    for at in (0..whole.len()).step_by(7).chain(32..40) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x91;
        check(&flipped);
        check(&whole[..at]);
    }
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn a_folder_that_cannot_be_written_costs_nothing() {
    let data = fixture::folder(&[2, 2], 5);
    let (cache, _) = open(data.path(), Some(Path::new("/dev/null/folder"))).unwrap();
    assert_eq!(cache.len(), 4);
}

#[test]
fn images_that_the_system_refused_are_tried_again() {
    let (data, folder) = (fixture::folder(&[2, 2], 5), tempfile::tempdir().unwrap());
    let dataset = Dataset::open(data.path()).unwrap();
    fs::remove_file(data.path().join("class0/0.png")).unwrap();
    let cache = Cache::decode(&dataset, &[0, 1, 2], &Plain, |_| true).unwrap();
    assert!(cache.unreadable()[0].passing && cache.len() == 2);
    let file = CacheFile::new(folder.path(), &dataset, &[1, 2], &Plain).unwrap();
    file.write(&cache);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_digest_is_that_of_pixels_classes_and_names() {
    let digests: Vec<String> = [
        (vec![2, 2], "class1"),
        (vec![1, 3], "class1"),
        (vec![2, 2], "other"),
    ]
    .iter()
    .map(|(counts, name)| {
        let data = fixture::folder(counts, 4);
        fs::rename(data.path().join("class1"), data.path().join(name)).unwrap();
        open(data.path(), None).unwrap().0.digest().to_owned()
    })
    .collect();
    assert_eq!(digests[0].len(), 64);
    assert!(digests[0] != digests[1] && digests[0] != digests[2]);
    let again = fixture::folder(&[2, 2], 4);
    assert_eq!(open(again.path(), None).unwrap().0.digest(), digests[0]);
}

#[test]
fn nothing_to_read_is_an_error() {
    let data = fixture::folder(&[1, 1], 4);
    let dataset = Dataset::open(data.path()).unwrap();
    let none = Cache::open(&dataset, &[], &Plain, None, |_| true);
    assert!(matches!(none, Err(CacheError::NoImages)));
    for class in ["class0", "class1"] {
        fs::write(data.path().join(class).join("0.png"), "broken").unwrap();
    }
    let error = open(data.path(), None).unwrap_err();
    assert!(matches!(
        error,
        CacheError::NothingReadable { images: 2, .. }
    ));
    assert!(error.to_string().contains("class0/0.png"), "{error}");
}
