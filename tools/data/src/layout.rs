//! From a list of paths to classes and their images: the `class/image` rule, for folders and archives alike.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::dataset::{DatasetError, Item};
use super::left_out::{Kind, LeftOut};
use super::names::{self, is_hidden, parts, shown};

/// Place of the bytes of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A file of its own.
    File(PathBuf),
    /// A piece of the tar archive.
    Tar { offset: u64, length: u64 },
    /// An entry of the zip archive.
    Zip { index: usize },
}

/// Depth at which class folders may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nesting {
    /// Side by side, in at most one wrapping folder.
    Flat,
    /// In folders of folders: a class is a folder that directly holds images.
    Deep,
}

impl Nesting {
    /// The longest path to an image, in parts.
    pub(super) fn deepest(self) -> usize {
        match self {
            Self::Flat => 3,
            Self::Deep => 8,
        }
    }
}

/// A file or folder below the root of the data set.
#[derive(Debug)]
pub(super) struct Entry {
    /// The path from the root of the data set: names joined by slashes.
    pub(super) path: Vec<u8>,
    pub(super) kind: EntryKind,
}

#[derive(Debug)]
pub(super) enum EntryKind {
    Folder,
    /// A folder that was not looked into.
    DeepFolder,
    UnreadableFolder,
    /// A link to a folder, which was not followed.
    LinkedFolder,
    File(Place),
    /// A link in an archive to this path, or to somewhere outside.
    Link(Option<Vec<u8>>),
    /// A device, a pipe, a sparse file in an archive.
    Special,
}

/// Result of [`arrange`].
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) classes: Vec<String>,
    /// Class folders without images.
    pub(super) empty: Vec<String>,
    pub(super) items: Vec<Item>,
    pub(super) left_out: LeftOut,
}

/// Images by their path; of two entries with one path the later counts, as when a tar is unpacked.
type Images = BTreeMap<Vec<u8>, Place>;

/// Applies the `class/image` rule to everything that was found below `root`.
pub(super) fn arrange(
    root: &Path,
    entries: Vec<Entry>,
    nesting: Nesting,
) -> Result<Layout, DatasetError> {
    let path = root.to_owned();
    if entries.is_empty() {
        return Err(DatasetError::Empty { path });
    }
    let Sorted {
        images,
        folders,
        mut left_out,
    } = Sorted::new(entries);
    if images.is_empty() {
        let found = match left_out.total() {
            0 => format!("{} empty folders", folders.len()),
            _ => left_out.to_string(),
        };
        return Err(DatasetError::NoImages { path, found });
    }
    let wrapping = wrapping(&images, nesting);
    check_depth(root, &images, wrapping, nesting)?;
    let classes = by_class(images, wrapping, &mut left_out);
    let empty = match nesting {
        Nesting::Flat => without_images(&folders, wrapping, &classes, &mut left_out),
        Nesting::Deep => Vec::new(),
    };
    let (mut names, mut items) = (Vec::new(), Vec::new());
    for (class, (name, images)) in classes.into_iter().enumerate() {
        names.push(name);
        let item = |(name, place)| Item { name, class, place };
        items.extend(images.into_iter().map(item));
    }
    Ok(Layout {
        classes: names,
        empty,
        items,
        left_out,
    })
}

/// Entries by what they are good for.
#[derive(Default)]
pub(super) struct Sorted {
    pub(super) images: Images,
    /// Folders, and the parents of images that are left out.
    folders: BTreeSet<Vec<u8>>,
    pub(super) left_out: LeftOut,
}

impl Sorted {
    pub(super) fn new(entries: Vec<Entry>) -> Self {
        let mut sorted = Self::default();
        for Entry { path, kind } in entries {
            if parts(&path).any(is_hidden) {
                sorted.leave_out(Kind::Hidden, &path);
                continue;
            }
            match kind {
                EntryKind::Folder => drop(sorted.folders.insert(path)),
                EntryKind::DeepFolder => sorted.leave_out(Kind::Deep, &path),
                EntryKind::UnreadableFolder => sorted.leave_out(Kind::UnreadableFolder, &path),
                EntryKind::LinkedFolder => sorted.leave_out(Kind::LinkedFolder, &path),
                EntryKind::File(place) if is_image(&path) => {
                    sorted.images.insert(path, place);
                }
                EntryKind::File(_) if has_extension(&path, &OTHER_FORMATS) => {
                    sorted.leave_out_image(Kind::OtherFormat, &path);
                }
                EntryKind::File(_) => sorted.leave_out(Kind::Other, &path),
                EntryKind::Link(_) if is_image(&path) => {
                    sorted.leave_out_image(Kind::Link, &path);
                }
                EntryKind::Link(_) => sorted.leave_out(Kind::Link, &path),
                EntryKind::Special => sorted.leave_out(Kind::Special, &path),
            }
        }
        sorted
    }

    fn leave_out(&mut self, kind: Kind, path: &[u8]) {
        self.left_out.add(kind, shown(path));
    }

    /// The folder of an image is a class folder, even where an archive does not list it.
    fn leave_out_image(&mut self, kind: Kind, path: &[u8]) {
        if let (Some(folder), _) = names::split(path) {
            self.folders.insert(folder.to_owned());
        }
        self.leave_out(kind, path);
    }
}

/// Extensions of JPEG and PNG files.
const FORMATS: [&str; 3] = ["jpg", "jpeg", "png"];
/// Extensions of images that are not read.
const OTHER_FORMATS: [&str; 22] = [
    "apng", "avif", "bmp", "dng", "gif", "heic", "heif", "ico", "j2k", "jfif", "jp2", "jpe", "jxl",
    "pbm", "pcx", "pgm", "ppm", "svg", "tga", "tif", "tiff", "webp",
];

/// Whether a file is an image, by its name.
pub(super) fn is_image(path: &[u8]) -> bool {
    has_extension(path, &FORMATS)
}

fn has_extension(path: &[u8], known: &[&str]) -> bool {
    let (_, name) = names::split(path);
    // A name that is all extension is hidden, not an image.
    let Some(dot @ 1..) = name.iter().rposition(|&byte| byte == b'.') else {
        return false;
    };
    let extension = &name[dot + 1..];
    known
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known.as_bytes()))
}

/// Length of the path, with its slash, of the folder that is wrapped around the class folders: there is one if every
/// image is `wrapping/class/image`.
fn wrapping(images: &Images, nesting: Nesting) -> usize {
    let first = images.keys().next().and_then(|path| parts(path).next());
    let in_class = |length| match nesting {
        Nesting::Flat => length == 3,
        Nesting::Deep => length >= 3,
    };
    let wrapped = images
        .keys()
        .all(|path| in_class(parts(path).count()) && parts(path).next() == first);
    match first {
        Some(first) if wrapped => first.len() + 1,
        _ => 0,
    }
}

fn check_depth(
    root: &Path,
    images: &Images,
    wrapping: usize,
    nesting: Nesting,
) -> Result<(), DatasetError> {
    let path = root.to_owned();
    let (deepest, expected) = match nesting {
        Nesting::Flat => (2 + usize::from(wrapping > 0), "class/image"),
        Nesting::Deep => (nesting.deepest(), "at most 7 folders"),
    };
    if let Some(deep) = images.keys().find(|path| parts(path).count() > deepest) {
        return Err(DatasetError::TooDeep {
            path,
            example: shown(deep),
            expected,
        });
    }
    match images.keys().next() {
        Some(first) if images.keys().all(|path| parts(path).count() == 1) => {
            Err(DatasetError::NoClassFolders {
                path,
                images: images.len(),
                example: shown(first),
            })
        }
        _ => Ok(()),
    }
}

/// The names and places of the images of each class.
type Classes = BTreeMap<String, Vec<(String, Place)>>;

/// The classes: folders of one name, however it is spelled, are one. Images outside any class are left out.
fn by_class(images: Images, wrapping: usize, left_out: &mut LeftOut) -> Classes {
    let mut classes = Classes::new();
    for (path, place) in images {
        let path = &path[wrapping..];
        match names::split(path) {
            (Some(folder), _) => {
                let members = classes.entry(names::class(folder)).or_default();
                members.push((shown(path), place));
            }
            (None, _) => left_out.add(Kind::Stray, shown(path)),
        }
    }
    classes
}

/// The class folders that no image lies in.
fn without_images(
    folders: &BTreeSet<Vec<u8>>,
    wrapping: usize,
    classes: &Classes,
    left_out: &mut LeftOut,
) -> Vec<String> {
    let depth = 1 + usize::from(wrapping > 0);
    let names: BTreeSet<String> = folders
        .iter()
        .filter(|path| parts(path).count() == depth)
        .map(|path| names::class(names::split(path).1))
        .filter(|name| !classes.contains_key(name))
        .collect();
    for name in &names {
        left_out.add(Kind::Empty, name.clone());
    }
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Paths as entries; a trailing slash means a folder.
    fn arranged_as(paths: &[&str], nesting: Nesting) -> Result<Layout, DatasetError> {
        let entry = |path: &&str| {
            let kind = match path.ends_with('/') {
                true => EntryKind::Folder,
                false => EntryKind::File(Place::File(path.into())),
            };
            let path = names::path(path.as_bytes());
            Entry { path, kind }
        };
        arrange(
            Path::new("data"),
            paths.iter().map(entry).collect(),
            nesting,
        )
    }

    fn arranged(paths: &[&str]) -> Result<Layout, DatasetError> {
        arranged_as(paths, Nesting::Flat)
    }

    fn names(layout: &Layout) -> Vec<(&str, usize)> {
        layout
            .items
            .iter()
            .map(|item| (item.name.as_str(), item.class))
            .collect()
    }

    #[test]
    fn classes_and_items_are_sorted() {
        let layout =
            arranged(&["b/2.png", "a-b/1.JPG", "b/1.jpeg", "a/", "a/9.Png", "b/"]).unwrap();
        assert_eq!(layout.classes, ["a", "a-b", "b"]);
        assert_eq!(
            names(&layout),
            [
                ("a/9.Png", 0),
                ("a-b/1.JPG", 1),
                ("b/1.jpeg", 2),
                ("b/2.png", 2)
            ]
        );
    }

    #[test]
    fn what_is_no_image_is_counted() {
        let paths = [
            "a/1.png",
            "a/._1.png",
            "__MACOSX/a/._1.png",
            "README.md",
            "a/notes.txt",
            ".git/x.png",
            "sheet.png",
        ];
        let layout = arranged(&paths).unwrap();
        assert_eq!(
            (names(&layout), layout.left_out.total()),
            (vec![("a/1.png", 0)], 6)
        );
    }

    #[test]
    fn one_wrapping_folder_is_looked_through() {
        let layout = arranged(&[
            "set/",
            "set/a/",
            "set/a/1.png",
            "set/b/1.png",
            "set/LICENSE",
            "docs/",
        ])
        .unwrap();
        assert_eq!(names(&layout), [("a/1.png", 0), ("b/1.png", 1)]);
        let train_and_test = arranged(&["train/a/1.png", "test/a/1.png"]).unwrap_err();
        assert!(
            matches!(train_and_test, DatasetError::TooDeep { .. }),
            "{train_and_test}"
        );
        let mixed = arranged(&["a/1.png", "a/more/2.png"]).unwrap_err();
        assert!(mixed.to_string().contains("a/more/2.png"), "{mixed}");
    }

    #[test]
    fn nested_classes_are_the_folders_that_hold_images() {
        let nested = |paths: &[&str]| arranged_as(paths, Nesting::Deep);
        let layout = nested(&[
            "all/",
            "all/Greek/",
            "all/Greek/a/2.png",
            "all/Greek/a/1.png",
            "all/Greek/b.png",
            "all/empty/",
            "all/Latin/a/1.png",
        ])
        .unwrap();
        assert_eq!(layout.classes, ["Greek", "Greek/a", "Latin/a"]);
        assert_eq!(
            names(&layout),
            [
                ("Greek/b.png", 0),
                ("Greek/a/1.png", 1),
                ("Greek/a/2.png", 1),
                ("Latin/a/1.png", 2)
            ]
        );
        let between = nested(&["a/1.png", "a/more/2.png", "a/z.png", "x/y/z/1.png"]).unwrap();
        assert_eq!(between.classes, ["a", "a/more", "x/y/z"]);
        assert_eq!(between.items[1].name, "a/z.png");
        let deep = nested(&["1/2/3/4/5/6/7/8/x.png"]).unwrap_err().to_string();
        assert!(deep.ends_with("expected at most 7 folders"), "{deep}");
        let flat = nested(&["1.png"]).unwrap_err();
        assert!(
            matches!(flat, DatasetError::NoClassFolders { .. }),
            "{flat}"
        );
    }

    #[test]
    fn the_last_of_two_equal_paths_counts() {
        let entry = |offset| Entry {
            path: b"a/1.png".to_vec(),
            kind: EntryKind::File(Place::Tar { offset, length: 1 }),
        };
        let layout = arrange(
            Path::new("x.tar"),
            vec![entry(512), entry(2048)],
            Nesting::Flat,
        )
        .unwrap();
        assert_eq!(layout.items.len(), 1);
        assert_eq!(
            layout.items[0].place,
            Place::Tar {
                offset: 2048,
                length: 1
            }
        );
    }

    #[test]
    fn refusals_say_what_was_found() {
        assert!(matches!(arranged(&[]), Err(DatasetError::Empty { .. })));
        let none = arranged(&["a/", "a/1.webp", "b/2.txt"]).unwrap_err();
        assert!(
            none.to_string()
                .ends_with("found 1 file that is no JPEG or PNG: a/1.webp; 1 other file: b/2.txt"),
            "{none}"
        );
        let folders = arranged(&["a/", "b/"]).unwrap_err().to_string();
        assert!(folders.ends_with("found 2 empty folders"), "{folders}");
        let flat = arranged(&["1.png", "2.png"]).unwrap_err().to_string();
        assert!(
            flat.contains("2 images") && flat.contains("1.png"),
            "{flat}"
        );
    }

    #[test]
    fn class_folders_without_images_are_named() {
        let layout = arranged(&["a/1.png", "b/", "c/", "c/x.txt", "d/1.webp"]).unwrap();
        assert_eq!(
            (layout.classes, layout.empty),
            (vec!["a".into()], ["b", "c", "d"].map(String::from).to_vec())
        );
        assert_eq!(layout.left_out.count(Kind::Empty), 3);
    }

    #[test]
    fn what_is_left_out_has_its_kind() {
        let paths = ["a/1.png", "a/2.WebP", "b.png", "a/x.txt", "a/.hidden.png"];
        let left_out = arranged(&paths).unwrap().left_out;
        let kinds = [Kind::OtherFormat, Kind::Stray, Kind::Other, Kind::Hidden];
        assert_eq!(kinds.map(|kind| left_out.count(kind)), [1; 4]);
        assert_eq!(left_out.total(), 4);
    }

    #[test]
    fn spellings_of_one_name_are_one_class_and_no_image_is_lost() {
        let layout = arranged(&["caf\u{e9}/1.png", "cafe\u{301}/1.png", "tea/1.png"]).unwrap();
        assert_eq!(layout.classes, ["caf\u{e9}", "tea"]);
        let classes: Vec<usize> = layout.items.iter().map(|item| item.class).collect();
        assert_eq!(classes, [0, 0, 1]);
    }
}
