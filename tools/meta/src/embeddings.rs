//! The embedding of a frozen backbone, which its head reads, for every image of a data set: computed once, since it never
//! changes.

use std::path::PathBuf;

use graft_patches::Digest;
use graft_runtime::Backbone;
use image::RgbImage;
use indicatif::ProgressBar;

use crate::classes::{Classes, ClassesError, Content};
use graft_data::preprocess::Preprocess;
use patchtool::hyper::prototype;

impl Classes {
    /// As [`Classes::open`], with embeddings of this backbone, f32 or int8, in place of the pixels, which are not kept.
    /// Computed on all cores; the bar counts images.
    ///
    /// # Errors
    /// As [`Classes::open`]; a backbone that has no head, or an input of another size than `preprocess` makes.
    pub fn embed(
        paths: &[PathBuf],
        preprocess: &Preprocess,
        backbone: &Backbone,
        bar: &ProgressBar,
    ) -> Result<Self, ClassesError> {
        let identity = backbone.identity();
        let embedding = |image: RgbImage| {
            let images = [preprocess.pixels(&image)];
            let features = prototype::features(backbone, &identity, &images)?;
            Ok(Content::Embedding {
                pixels: Digest::of(&images[0]),
                values: features.concat(),
            })
        };
        Self::read(paths, preprocess, bar, embedding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::tests::folder;
    use crate::episodes::{Augmentation, EpisodeError, Sampler, Setting};
    use patchtool::hyper::{Convolution, target};
    use patchtool::task;

    const SIDE: usize = 28;
    /// Values of an embedding.
    const FEATURES: usize = 24;

    /// A backbone with random convolutions.
    fn backbone() -> Backbone {
        let mut random = graft_tests::Random(1);
        let depths = [9, 9 * FEATURES, 9 * FEATURES, 9 * FEATURES];
        let convolution = |depth: usize| Convolution {
            weights: Some(random.values(FEATURES * depth, (6.0 / depth as f32).sqrt())),
            scale: vec![1.0; FEATURES],
            bias: vec![0.1; FEATURES],
        };
        let bytes = target::backbone("cnn", "a test", SIDE, &depths.map(convolution)).unwrap();
        Backbone::from_bytes(&bytes).unwrap()
    }

    fn embedded(bar: &ProgressBar) -> (Classes, Classes) {
        let backbone = backbone();
        let resize = backbone.image().metadata().unwrap().resize;
        let preprocess = task::preprocess(&backbone.image().input(), resize).unwrap();
        let folder = folder(&[("x/a/1.png", 10), ("x/a/2.png", 90), ("x/b/1.png", 200)]);
        let paths = [folder.path().to_owned()];
        let pixels = Classes::open(&paths, &preprocess).unwrap();
        (
            Classes::embed(&paths, &preprocess, &backbone, bar).unwrap(),
            pixels,
        )
    }

    #[test]
    fn an_embedding_is_what_the_head_reads() {
        let bar = ProgressBar::hidden();
        let (embedded, pixels) = embedded(&bar);
        assert_eq!(bar.position(), 3);
        let backbone = backbone();
        for (found, class) in embedded.all().iter().zip(pixels.all()) {
            assert_eq!(found.name, class.name);
            for (found, image) in found.images.iter().zip(&class.images) {
                let Content::Pixels(bytes) = &image.content else {
                    panic!("{image:?}");
                };
                assert_eq!(bytes.len(), SIDE * SIDE);
                let images = [bytes.clone()];
                let expected = prototype::features(&backbone, &backbone.identity(), &images);
                let expected = Content::Embedding {
                    pixels: Digest::of(bytes),
                    values: expected.unwrap().concat(),
                };
                assert_eq!(found.content, expected);
            }
        }
        assert_ne!(
            embedded.all()[0].images[0].content,
            embedded.all()[1].images[0].content
        );
    }

    #[test]
    fn episodes_of_embeddings_are_not_rotated() {
        let (embedded, _) = embedded(&ProgressBar::hidden());
        let setting = Setting {
            queries: 0,
            ..Setting::new(2, 1)
        };
        let episode = Sampler::new(&embedded, setting, Augmentation::default(), 1)
            .unwrap()
            .episode(0);
        for (index, values) in episode.support.values.chunks(FEATURES).enumerate() {
            let class = &embedded.all()[episode.classes[index].class];
            let content = &class.images[episode.support.indices[index]].content;
            assert!(
                matches!(content, Content::Embedding { values: own, .. } if own == values),
                "{content:?}"
            );
        }
        let distorted = Augmentation {
            drawings: true,
            ..Augmentation::default()
        };
        let refused = Sampler::new(&embedded, setting, distorted, 1).map(drop);
        assert_eq!(refused, Err(EpisodeError::Embeddings));
    }
}
