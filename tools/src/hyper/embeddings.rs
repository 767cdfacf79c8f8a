//! What the head of a frozen backbone reads, for every image of a data set: computed once, since it never changes.

use super::episodes::{Episode, Images};

/// Embeddings of all images of [`super::classes::Classes`].
#[derive(Clone, Debug)]
pub struct Embeddings {
    /// By class, then by image.
    pub(super) classes: Vec<Vec<Vec<f32>>>,
}

impl Embeddings {
    /// Puts embeddings in place of the pixels of an episode.
    pub fn replace(&self, episode: &mut Episode) {
        let classes: Vec<usize> = episode.classes.iter().map(|drawn| drawn.class).collect();
        let parts = [
            &mut episode.support,
            &mut episode.queries,
            &mut episode.unlabelled,
        ];
        for images in parts {
            images.values = self.of(images, &classes);
        }
    }

    fn of(&self, images: &Images, classes: &[usize]) -> Vec<f32> {
        let places = images.labels.iter().zip(&images.indices);
        places
            .flat_map(|(&label, &index)| &self.classes[classes[label]][index])
            .copied()
            .collect()
    }
}
