//! Training inputs, prepared while the trainer works on the ones before.

use std::io;
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Builder, JoinHandle};

use rand::seq::SliceRandom as _;

use super::augment::Augmenter;
use super::random::{Purpose, generator};
use super::training_set::TrainingSet;

/// Batches that wait for the trainer.
const AHEAD: usize = 2;

/// The order in which an epoch visits `count` images.
pub fn epoch_order(seed: u64, epoch: u32, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut generator(seed, Purpose::Order { epoch }));
    order
}

/// Number of steps of an epoch of `images`; see [`Batches`].
pub fn steps(images: usize, batch: usize) -> usize {
    let steps = images.div_ceil(batch.max(1));
    // Batches of at most two: the odd image out would be alone.
    let alone = batch == 2 && images % 2 == 1;
    steps - usize::from(alone)
}

/// Ranges of the batches of an epoch in its order; see [`Batches`].
pub fn ranges(images: usize, batch: usize) -> impl Iterator<Item = Range<usize>> {
    let steps = steps(images, batch);
    // The image that would be alone is left out.
    let images = images.min(steps * batch.max(1));
    (0..steps).map(move |step| step * images / steps..(step + 1) * images / steps)
}

/// The inputs and classes of some images. Its memory is used again once it is dropped.
#[derive(Debug)]
pub struct Batch {
    /// Normalised inputs, one after the other (NHWC).
    pub inputs: Vec<f32>,
    /// The class of each.
    pub labels: Vec<usize>,
    /// The index of each in its set.
    pub images: Vec<usize>,
    used: Sender<Buffers>,
}

type Buffers = (Vec<f32>, Vec<usize>);

impl Drop for Batch {
    fn drop(&mut self) {
        let buffers = (
            std::mem::take(&mut self.inputs),
            std::mem::take(&mut self.labels),
        );
        // At the end of the epoch nobody needs them.
        let _ = self.used.send(buffers);
    }
}

/// The batches of one epoch: every image once, in a random order.
///
/// No batch is larger than asked for, and their sizes differ by one at most: 100 images in batches of 32 make four of
/// 25. So no small batch is left over, whose statistics would be noise to batch normalisation, and no image is left
/// out, but for one: an odd number of images in batches of two.
#[derive(Debug)]
pub struct Batches {
    ready: Option<Receiver<Batch>>,
    worker: Option<JoinHandle<()>>,
}

impl Batches {
    /// Starts to prepare the epoch from step `first` on, on a thread of its own. What it yields depends on the
    /// arguments alone.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        set: Arc<TrainingSet>,
        augmenter: Augmenter,
        batch: usize,
        (seed, epoch): (u64, u32),
        first: usize,
    ) -> io::Result<Self> {
        let (sender, ready) = sync_channel(AHEAD);
        let work = Work {
            set,
            augmenter,
            seed,
            epoch,
        };
        let worker = Builder::new().name("batches".into());
        Ok(Self {
            worker: Some(worker.spawn(move || work.run(batch, first, &sender))?),
            ready: Some(ready),
        })
    }
}

impl Iterator for Batches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let batch = self.ready.as_ref().and_then(|ready| ready.recv().ok());
        if batch.is_none() {
            // An epoch that ends because its thread failed must not look like one that is complete.
            if let Some(Err(panic)) = self.worker.take().map(JoinHandle::join) {
                resume_unwind(panic);
            }
        }
        batch
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        // Without a receiver the thread ends at its next batch.
        self.ready = None;
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

struct Work {
    set: Arc<TrainingSet>,
    augmenter: Augmenter,
    seed: u64,
    epoch: u32,
}

impl Work {
    fn run(mut self, batch: usize, first: usize, ready: &SyncSender<Batch>) {
        let order = epoch_order(self.seed, self.epoch, self.set.len());
        let (used, free) = channel();
        for range in ranges(order.len(), batch).skip(first) {
            let batch = self.batch(&order[range], free.try_recv().unwrap_or_default(), &used);
            if ready.send(batch).is_err() {
                return;
            }
        }
    }

    fn batch(&mut self, images: &[usize], buffers: Buffers, used: &Sender<Buffers>) -> Batch {
        let (mut inputs, mut labels) = buffers;
        let values = self.augmenter.values();
        inputs.resize(images.len() * values, 0.0);
        for (input, &image) in inputs.chunks_exact_mut(values.max(1)).zip(images) {
            let epoch = self.epoch;
            let generator = generator(self.seed, Purpose::Augment { epoch, image });
            self.augmenter
                .write(&self.set.image(image), generator, input);
        }
        labels.clear();
        labels.extend(images.iter().map(|&image| self.set.class(image)));
        Batch {
            inputs,
            labels,
            images: images.to_vec(),
            used: used.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::augment::Augment;
    use crate::dataset::Dataset;
    use crate::preprocess::{Channels, Filter, Preprocess, Resize};
    use proptest::prelude::*;

    fn augmenter(augment: Augment) -> Augmenter {
        let preprocess = Preprocess {
            height: 6,
            width: 5,
            channels: Channels::Rgb,
            resize: Resize::Stretch,
            filter: Filter::Bilinear,
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        Augmenter::new(augment, preprocess)
    }

    fn set(counts: &[u8]) -> Arc<TrainingSet> {
        let data = fixture::folder(counts, 4);
        let dataset = Dataset::open(data.path()).unwrap();
        let all: Vec<usize> = (0..dataset.len()).collect();
        let preprocess = augmenter(Augment::NONE).preprocess().clone();
        Arc::new(TrainingSet::open(&dataset, &all, &preprocess, None, |_| true).unwrap())
    }

    fn start(set: &Arc<TrainingSet>, augment: Augment, batch: usize, epoch: u32) -> Batches {
        Batches::start(Arc::clone(set), augmenter(augment), batch, (1, epoch), 0).unwrap()
    }

    #[test]
    fn an_epoch_has_every_image_once_with_its_class() {
        let set = set(&[9, 6]);
        for batch in [1, 4, 7, 15, 100] {
            let (mut seeds, mut classes, mut count) = (Vec::new(), Vec::new(), 0);
            for batch in start(&set, Augment::NONE, batch, 0) {
                count += 1;
                assert_eq!(batch.inputs.len(), batch.labels.len() * 6 * 5 * 3);
                // Blue is the number of the image.
                let inputs = batch.inputs.chunks_exact(6 * 5 * 3);
                seeds.extend(inputs.map(|input| input[2] as usize));
                classes.extend_from_slice(&batch.labels);
                let of_images = batch.images.iter().map(|&image| set.class(image));
                assert!(of_images.eq(batch.labels.iter().copied()));
            }
            assert_eq!(count, steps(15, batch));
            assert!(
                seeds
                    .iter()
                    .zip(&classes)
                    .all(|(&seed, &class)| class == usize::from(seed >= 9))
            );
            seeds.sort_unstable();
            assert_eq!(seeds, (0..15).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_epoch_is_repeated_exactly_and_the_next_one_differs() {
        let set = set(&[8, 8]);
        let all = |epoch| -> Vec<(Vec<f32>, Vec<usize>)> {
            start(&set, Augment::default(), 5, epoch)
                .map(|batch| (batch.inputs.clone(), batch.labels.clone()))
                .collect()
        };
        assert_eq!(all(3), all(3));
        assert_ne!(all(3), all(4));
    }

    #[test]
    fn an_epoch_may_be_left_early() {
        let set = set(&[50, 50]);
        drop(start(&set, Augment::default(), 2, 0));
        let mut batches = start(&set, Augment::default(), 2, 0);
        let (first, second) = (batches.next().unwrap(), batches.next().unwrap());
        drop(batches);
        assert_ne!(first.inputs, second.inputs);
        assert_eq!(Arc::strong_count(&set), 1);
    }

    proptest! {
        #[test]
        fn batches_are_of_one_size(images in 0..500usize, batch in 1..70usize) {
            let count = steps(images, batch);
            let used = images.min(count * batch);
            let sizes: Vec<usize> =
                (0..count).map(|step| (step + 1) * used / count - step * used / count).collect();
            let smallest = sizes.iter().copied().min().unwrap_or(batch);
            prop_assert!(sizes.iter().all(|&size| size <= batch && size - smallest <= 1));
            prop_assert!(used == images || (batch == 2 && used == images - 1));
            prop_assert!(smallest > 1 || batch == 1 || images == 1);
        }
    }
}
