//! Every image of a data set through the same work, on all cores.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use image::RgbImage;
use rayon::prelude::*;

use super::dataset::Dataset;
use super::image_file::ImageFileError;

/// Most images that are worked on before the results are handed on. With one more batch waiting and one being consumed,
/// this bounds the memory.
const BATCH: usize = 64;
/// The same for each thread: few threads would take long for many images, and whoever waits could not end it.
const BATCH_OF_A_THREAD: usize = 16;

impl Dataset {
    /// Decodes the images `indices`, does `work` on them on rayon's global pool, and hands the results to `each` on
    /// this thread, in order; meanwhile the pool works ahead. An error of `each` ends it, with
    /// the images that are being worked on.
    ///
    /// Images that cannot be read are left out and returned with the reason, in order.
    ///
    /// Must not be called from a thread of the pool, which would wait for itself.
    pub fn for_each<T: Send, E>(
        &self,
        indices: &[usize],
        work: impl Fn(usize, RgbImage) -> T + Sync,
        mut each: impl FnMut(usize, T) -> Result<(), E>,
    ) -> Result<Vec<ImageFileError>, E> {
        let has_ended = AtomicBool::new(false);
        let work = |&index: &usize| {
            let goes_on = !has_ended.load(Ordering::Relaxed);
            goes_on.then(|| (index, self.decode(index).map(|image| work(index, image))))
        };
        let batch = BATCH.min(BATCH_OF_A_THREAD * rayon::current_num_threads());
        thread::scope(|scope| {
            let (sender, batches) = sync_channel(1);
            scope.spawn(move || {
                for batch in indices.chunks(batch) {
                    let results: Option<Vec<_>> = batch.par_iter().map(&work).collect();
                    if results.is_none_or(|results| sender.send(results).is_err()) {
                        return;
                    }
                }
            });
            let end = |error| {
                has_ended.store(true, Ordering::Relaxed);
                error
            };
            let mut unreadable = Vec::new();
            for (index, result) in batches.into_iter().flatten() {
                match result {
                    Ok(value) => each(index, value).map_err(end)?,
                    Err(error) => unreadable.push(error),
                }
            }
            Ok(unreadable)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    /// Two hundred images, of which every fiftieth is broken.
    fn dataset() -> (tempfile::TempDir, Dataset) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        for value in 0..200u8 {
            let path = folder.path().join(format!("a/{value:03}.png"));
            match value % 50 {
                7 => std::fs::write(path, "broken").unwrap(),
                _ => RgbImage::from_pixel(2, 1, Rgb([value; 3]))
                    .save(path)
                    .unwrap(),
            }
        }
        let dataset = Dataset::open(folder.path()).unwrap();
        (folder, dataset)
    }

    #[test]
    fn results_come_in_order_and_broken_images_are_reported() {
        let (_folder, dataset) = dataset();
        let all: Vec<usize> = (0..dataset.len()).collect();
        let mut seen = Vec::new();
        let unreadable = dataset.for_each(
            &all,
            |_, image| image[(0, 0)].0[0],
            |index, value| {
                assert_eq!(index, usize::from(value));
                seen.push(index);
                Ok::<(), ()>(())
            },
        );
        assert_eq!(
            seen,
            all.into_iter()
                .filter(|index| index % 50 != 7)
                .collect::<Vec<_>>()
        );
        let unreadable = unreadable.unwrap();
        assert_eq!(unreadable.len(), 4);
        assert!(
            unreadable[1].to_string().contains("a/057.png"),
            "{}",
            unreadable[1]
        );
    }

    #[test]
    fn any_selection_can_be_made_and_an_error_ends_it() {
        let (_folder, dataset) = dataset();
        let backwards: Vec<usize> = (0..dataset.len()).rev().collect();
        let mut count = 0;
        let stopped = dataset.for_each(
            &backwards,
            |index, _| index,
            |index, same| {
                assert_eq!(index, same);
                count += 1;
                if index == 190 { Err("enough") } else { Ok(()) }
            },
        );
        assert_eq!((stopped.unwrap_err(), count), ("enough", 10));
        let none = dataset.for_each(&[], |_, _| (), |_, ()| Err("never called"));
        assert!(none.unwrap().is_empty());
    }
}
