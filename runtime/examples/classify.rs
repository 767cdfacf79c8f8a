//! Classifies an image: `classify BACKBONE PATCH IMAGE`, IMAGE a PNG or JPEG file. Prints the five best classes.
//!
//! On the demo's files, from the root of the repository:
//!
//! ```text
//! cargo run --release -p graft-runtime --example classify -- \
//!     tools/assets/demo/demo.backbone tools/assets/demo/fashion.patch tests/cases/images/fashion/sneaker.png
//! ```

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use graft_patches::geometry::Shape;
use graft_runtime::{Backbone, Patch, Session};
use image::imageops::FilterType;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [backbone, patch, image] = &arguments[..] else {
        return Err("usage: classify BACKBONE PATCH IMAGE".into());
    };
    let backbone = Backbone::open(backbone)?;
    let patch = Patch::open(patch, &backbone)?;
    let labels = match patch.image() {
        Some(patch) => patch.metadata()?.labels,
        None => backbone.image().metadata()?.labels,
    };
    let mut session = Session::new(&backbone)?;
    let pixels = pixels(Path::new(image), patch.input().shape)?;
    let start = Instant::now();
    let scores = session.run(&patch, &pixels)?;
    let time = start.elapsed();
    let probabilities = softmax(scores);
    let mut classes: Vec<usize> = (0..scores.len()).collect();
    classes.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    for &class in classes.iter().take(5) {
        let label = labels.get(class).map_or("?", String::as_str);
        println!("{:5.1} %  {label}", 100.0 * probabilities[class]);
    }
    println!(
        "in {:.2} ms on {} kernels",
        time.as_secs_f64() * 1e3,
        session.kernels()
    );
    Ok(())
}

/// The image file at the patch's resolution, 8-bit, NHWC. The session normalises it.
fn pixels(path: &Path, input: Shape) -> Result<Vec<u8>, Box<dyn Error>> {
    let (width, height) = (u32::try_from(input.width)?, u32::try_from(input.height)?);
    let image = image::open(path)?.resize_exact(width, height, FilterType::Triangle);
    match input.channels {
        1 => Ok(image.into_luma8().into_raw()),
        3 => Ok(image.into_rgb8().into_raw()),
        channels => Err(format!("the patch takes {channels} channels, images have 1 or 3").into()),
    }
}

fn softmax(scores: &[f32]) -> Vec<f32> {
    let largest = scores.iter().fold(f32::MIN, |most, &score| most.max(score));
    let powers: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}
