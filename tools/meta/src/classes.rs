//! The images of many classes in memory, from which episodes are drawn.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use graft_patches::Digest;
use image::RgbImage;
use indicatif::ProgressBar;

use graft_data::dataset::{Dataset, DatasetError};
use graft_data::image_file::ImageFileError;
use graft_data::preprocess::Preprocess;
use graft_data::{composed, first};
use patchtool::hyper::GeneratedError;

/// Many classes, sorted by name, with their images as a network's input before normalisation.
#[derive(Clone, Debug)]
pub struct Classes {
    preprocess: Preprocess,
    classes: Vec<Class>,
}

/// One class.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// The path to its folder, such as `Sanskrit/character01`.
    pub name: String,
    /// Its images, sorted by file name.
    pub images: Vec<Image>,
}

impl Class {
    /// The first part of its path.
    fn folder(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }
}

/// One image of a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Name of the file in the class folder.
    pub file: String,
    /// Its pixels or embedding.
    pub content: Content,
}

/// An image as episodes have it.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Bytes of the input, HWC; see [`Preprocess::pixels`].
    Pixels(Vec<u8>),
    /// Inputs of the head of a frozen backbone.
    Embedding {
        /// Digest of the pixels, which are not kept.
        pixels: Digest,
        /// The embedding.
        values: Vec<f32>,
    },
}

/// Reasons why classes could not be read or split.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClassesError {
    /// A folder or archive is not what it should be.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Images that cannot be read.
    #[error("{count} images of {} cannot be read, the first because of", path.display())]
    Images {
        /// The folder or archive.
        path: PathBuf,
        /// Their number.
        count: usize,
        /// The fault of the first.
        source: Box<ImageFileError>,
    },
    /// A frozen backbone that gives no embeddings.
    #[error(transparent)]
    Embedding(#[from] GeneratedError),
    /// A name for the holdout that no class has in its path.
    #[error(
        "no class of the name {name} to hold out: there are {}",
        first(known, 50)
    )]
    UnknownHoldout {
        /// The name.
        name: String,
        /// The folders at the top.
        known: Vec<String>,
    },
}

impl ClassesError {
    /// The way out, for the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Dataset(error) => error.hint(),
            Self::Images { source, .. } => source.hint(),
            Self::Embedding(error) => error.hint(),
            Self::UnknownHoldout { .. } => {
                "name a folder of the data as it is spelled there, in any part of a class's path"
            }
        }
    }
}

/// Images by class and by path: folders of one name that is spelled in two ways may have files of one name.
type ByName = BTreeMap<String, BTreeMap<String, Content>>;

impl Classes {
    /// Reads every image of these folders and archives, with class folders nested as [`Dataset::open_nested`] takes
    /// them, and prepares it. A class that several of them have is one class with the images of all; of two files with
    /// one name in it, the later counts.
    ///
    /// Must not be called from a thread of rayon's global pool.
    pub fn open(paths: &[PathBuf], preprocess: &Preprocess) -> Result<Self, ClassesError> {
        let pixels = |image: RgbImage| Ok(Content::Pixels(preprocess.pixels(&image)));
        Self::read(paths, preprocess, &ProgressBar::hidden(), pixels)
    }

    /// As [`Self::open`]; `content` makes the kept content of an image, on all cores. The bar counts images.
    pub(crate) fn read(
        paths: &[PathBuf],
        preprocess: &Preprocess,
        bar: &ProgressBar,
        content: impl Fn(RgbImage) -> Result<Content, ClassesError> + Sync,
    ) -> Result<Self, ClassesError> {
        let datasets: Vec<Dataset> = paths
            .iter()
            .map(Dataset::open_nested)
            .collect::<Result<_, _>>()?;
        datasets.iter().try_for_each(Dataset::check_empty)?;
        bar.set_length(datasets.iter().map(|dataset| dataset.len() as u64).sum());
        let content = |image| {
            bar.inc(1);
            content(image)
        };
        let mut found = ByName::new();
        for (path, dataset) in paths.iter().zip(&datasets) {
            read(path, dataset, content, &mut found)?;
        }
        bar.finish_and_clear();
        let image = |(name, content): (String, _)| Image {
            file: name.rsplit('/').next().unwrap_or_default().to_owned(),
            content,
        };
        let classes = found.into_iter().map(|(name, images)| Class {
            name,
            images: images.into_iter().map(image).collect(),
        });
        Ok(Self {
            preprocess: preprocess.clone(),
            classes: classes.collect(),
        })
    }

    /// Classes that are in memory already.
    #[cfg(test)]
    pub(crate) fn of(preprocess: Preprocess, classes: Vec<Class>) -> Self {
        Self {
            preprocess,
            classes,
        }
    }

    /// Parts the classes for training from those that are held out, in this order: a class is held out if a part of its
    /// path is one of these names.
    pub fn split<S: AsRef<str>>(self, holdout: &[S]) -> Result<(Self, Self), ClassesError> {
        let named = |class: &Class, name: &str| {
            let name = composed(name);
            class.name.split('/').any(|part| part == name)
        };
        let unknown = |name: &&str| !self.classes.iter().any(|class| named(class, name));
        if let Some(name) = holdout.iter().map(AsRef::as_ref).find(unknown) {
            return Err(ClassesError::UnknownHoldout {
                name: name.to_owned(),
                known: self.top_folders(),
            });
        }
        let held_out = |class: &Class| holdout.iter().any(|name| named(class, name.as_ref()));
        let (test, train) = self.classes.into_iter().partition(held_out);
        let with = |classes| Self {
            preprocess: self.preprocess.clone(),
            classes,
        };
        Ok((with(train), with(test)))
    }

    /// These classes and those of another data set, prepared alike. Classes of one name stay apart.
    pub fn with(mut self, other: Self) -> Self {
        self.classes.extend(other.classes);
        self.classes.sort_by(|a, b| a.name.cmp(&b.name));
        self
    }

    /// The classes, sorted by name.
    pub fn all(&self) -> &[Class] {
        &self.classes
    }

    /// The number of classes.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there is no class.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The number of images of all classes together.
    pub fn images(&self) -> usize {
        self.classes.iter().map(|class| class.images.len()).sum()
    }

    /// Whether images are embeddings of a frozen backbone.
    pub fn are_embedded(&self) -> bool {
        let mut images = self.classes.iter().flat_map(|class| &class.images);
        images.any(|image| matches!(image.content, Content::Embedding { .. }))
    }

    /// Of the names of all classes and the pixels of all images.
    pub fn digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        for class in &self.classes {
            hasher.update(class.name.as_bytes());
            for image in &class.images {
                match &image.content {
                    Content::Pixels(pixels) => hasher.update(pixels),
                    Content::Embedding { pixels, .. } => hasher.update(&pixels.0),
                };
            }
        }
        Digest(*hasher.finalize().as_bytes())
    }

    /// The preparation of the images, and their normalisation.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// First parts of the classes' paths, such as the alphabets of Omniglot.
    pub fn top_folders(&self) -> Vec<String> {
        let tops: BTreeSet<&str> = self.classes.iter().map(Class::folder).collect();
        tops.into_iter().map(str::to_owned).collect()
    }

    /// The classes of each of [`Self::top_folders`].
    pub fn folders(&self) -> Vec<Self> {
        let of = |a: &Class, b: &Class| a.folder() == b.folder();
        let parts = self.classes.chunk_by(of).map(|classes| Self {
            preprocess: self.preprocess.clone(),
            classes: classes.to_vec(),
        });
        parts.collect()
    }

    /// Whether these are drawings: dark strokes on white paper, which is more than half of all pixels.
    pub fn are_drawings(&self) -> bool {
        const WHITE: u8 = 250;
        let images = self.classes.iter().flat_map(|class| &class.images);
        let counts = images.map(|image| match &image.content {
            Content::Pixels(pixels) => {
                let white = pixels.iter().filter(|&&value| value >= WHITE).count();
                [white, pixels.len()]
            }
            Content::Embedding { .. } => [0, 0],
        });
        let [white, all] = counts.fold([0, 0], |[a, b], [c, d]| [a + c, b + d]);
        2 * white > all
    }
}

fn read(
    path: &Path,
    dataset: &Dataset,
    content: impl Fn(RgbImage) -> Result<Content, ClassesError> + Sync,
    found: &mut ByName,
) -> Result<(), ClassesError> {
    let every: Vec<usize> = (0..dataset.len()).collect();
    let unreadable = dataset.for_each(
        &every,
        |_, image| content(image),
        |index, content| {
            let item = &dataset.items()[index];
            let class = &dataset.classes()[item.class];
            let images = found.entry(class.clone()).or_default();
            images.insert(item.name.clone(), content?);
            Ok::<(), ClassesError>(())
        },
    )?;
    let count = unreadable.len();
    match unreadable.into_iter().next() {
        None => Ok(()),
        Some(source) => Err(ClassesError::Images {
            path: path.to_owned(),
            count,
            source: Box::new(source),
        }),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use graft_data::preprocess::{Channels, Filter, Resize};
    use image::{Rgb, RgbImage};
    use std::error::Error as _;

    /// Grey images of this side, not normalised.
    pub(crate) fn grey(side: u32) -> Preprocess {
        Preprocess {
            height: side,
            width: side,
            channels: Channels::Grey,
            resize: Resize::Stretch,
            filter: Filter::Bilinear,
            mean: [0.0; 3],
            std: [1.0; 3],
        }
    }

    /// Classes whose image `i` of class `c` has the pixels `[16 * c + i, 0, 0, 0]`.
    pub(crate) fn numbered(counts: &[u8]) -> Classes {
        numbered_for(grey(2), counts)
    }

    /// The same, taken for what `preprocess` made.
    pub(crate) fn numbered_for(preprocess: Preprocess, counts: &[u8]) -> Classes {
        let class = |(class, &count): (usize, &u8)| Class {
            name: format!("set/{class:02}"),
            images: (0..count)
                .map(|image| Image {
                    file: format!("{image:02}.png"),
                    content: Content::Pixels(vec![16 * class as u8 + image, 0, 0, 0]),
                })
                .collect(),
        };
        Classes {
            preprocess,
            classes: counts.iter().enumerate().map(class).collect(),
        }
    }

    pub(crate) fn folder(files: &[(&str, u8)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for &(name, value) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let image = RgbImage::from_pixel(3, 3, Rgb([value; 3]));
            image.save(path).unwrap();
        }
        folder
    }

    fn joined() -> Classes {
        let first = folder(&[("all/Greek/a/1.png", 1), ("all/Latin/a/1.png", 2)]);
        let second = folder(&[
            ("more/Greek/a/1.png", 3),
            ("more/Greek/a/2.png", 4),
            ("more/Cyrillic/a/1.png", 5),
        ]);
        let paths = [first.path().to_owned(), second.path().to_owned()];
        Classes::open(&paths, &grey(2)).unwrap()
    }

    fn names(classes: &Classes) -> Vec<&str> {
        let names = classes.all().iter().map(|class| class.name.as_str());
        names.collect()
    }

    #[test]
    fn classes_of_several_sets_are_joined_and_the_later_file_counts() {
        let classes = joined();
        assert_eq!(names(&classes), ["Cyrillic/a", "Greek/a", "Latin/a"]);
        assert_eq!((classes.len(), classes.images()), (3, 4));
        let image = |file: &str, value| Image {
            file: file.to_owned(),
            content: Content::Pixels(vec![value; 4]),
        };
        let greek = &classes.all()[1].images;
        assert_eq!(*greek, [image("1.png", 3), image("2.png", 4)]);
    }

    #[test]
    fn a_class_is_held_out_by_any_part_of_its_path() {
        let (train, test) = joined().split(&["Greek", "Latin"]).unwrap();
        assert_eq!(names(&train), ["Cyrillic/a"]);
        assert_eq!(names(&test), ["Greek/a", "Latin/a"]);
        let (train, test) = joined().split(&["a"]).unwrap();
        assert_eq!((train.len(), test.len()), (0, 3));
        let (train, test) = joined().split::<&str>(&[]).unwrap();
        assert_eq!((train.len(), test.len()), (3, 0));
    }

    #[test]
    fn an_unknown_name_to_hold_out_is_refused_with_those_there_are() {
        for name in ["greek", "Gree", "Greek/a"] {
            let error = joined().split(&["Latin", name]).unwrap_err().to_string();
            let ends = format!("{name} to hold out: there are Cyrillic, Greek, Latin");
            assert!(error.ends_with(&ends), "{error}");
        }
    }

    #[test]
    fn images_that_cannot_be_read_are_named() {
        let folder = folder(&[("a/b/1.png", 1), ("c/b/1.png", 1)]);
        std::fs::write(folder.path().join("c/b/2.png"), "broken").unwrap();
        let error = Classes::open(&[folder.path().to_owned()], &grey(2)).unwrap_err();
        let source = error.source().unwrap().to_string();
        assert!(source.contains("c/b/2.png"), "{source}");
        let missing = Classes::open(&["/no/such/set".into()], &grey(2)).unwrap_err();
        assert!(matches!(missing, ClassesError::Dataset(_)), "{missing}");
    }
}
