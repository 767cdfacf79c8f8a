//! Images to run and to evaluate.

use std::ops::Deref;

use super::Folder;

/// A folder with a backbone of 10 classes, two patches, an image and a labelled data set.
pub(crate) struct Fixture(pub(crate) Folder);

impl Fixture {
    pub(crate) fn new() -> Self {
        let folder = Folder::new();
        let backbone = graft_tests::backbone(24, 1);
        folder.write("b.backbone", backbone.image().bytes());
        folder.write("other.backbone", &graft_tests::every_operator(24, 2));
        folder.write("p.patch", &graft_tests::random_patch(&backbone, 7, 3));
        folder.write("q.patch", &graft_tests::random_patch(&backbone, 7, 4));
        for class in ["0", "3", "9"] {
            for number in 0..4u8 {
                let pixel = |x: u32, y: u32| image::Rgb([x as u8 * 3, y as u8 * 5, number * 60]);
                let path = folder.path(format!("data/{class}/{number}.png"));
                std::fs::create_dir_all(path.parent().expect("it has a folder"))
                    .expect("room on the disk");
                image::RgbImage::from_fn(40, 30, pixel)
                    .save(path)
                    .expect("room on the disk");
            }
        }
        Self(folder)
    }

    /// As [`Folder::refused`], with the cause in the first line.
    pub(crate) fn refused(&self, arguments: &str, words: &str) {
        let stderr = self.0.refused(arguments, words);
        assert!(stderr.starts_with("error: "), "{arguments}: {stderr}");
    }
}

impl Deref for Fixture {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.0
    }
}
