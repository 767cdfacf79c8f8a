//! Times training steps on the mean softmax cross-entropy, for comparison with other frameworks:
//! `step BACKBONE RESOLUTION BATCH KINDS STEPS`, KINDS being `head`, or some of `bn` or `fixed-bn`, `dw`, `dense` and
//! `head` joined by `+`. Prints JSON.

mod shared;

use std::error::Error;
use std::time::Instant;

use graft_patches::geometry::Shape;
use graft_runtime::Backbone;
use graft_runtime::gradient::Network;
use shared::{cross_entropy_gradient, trainable};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [backbone, resolution, batch, kinds, steps] = &arguments[..] else {
        return Err("usage: step BACKBONE RESOLUTION BATCH KINDS STEPS".into());
    };
    let backbone = Backbone::open(backbone)?;
    let (side, batch, steps): (usize, usize, usize) =
        (resolution.parse()?, batch.parse()?, steps.parse()?);
    if batch == 0 || steps == 0 {
        return Err("BATCH and STEPS must be at least 1".into());
    }
    let channels = backbone.image().input().shape.channels;
    let classes = 10;
    let mut network = if kinds == "head" {
        Network::head(&backbone, classes)?
    } else {
        let input = Shape::new(side, side, channels);
        Network::new(&backbone, input, classes, trainable(kinds)?)?
    };
    let inputs: Vec<f32> = (0..batch * network.input_len())
        .map(|i| (i * 7919 % 2001) as f32 / 1000.0 - 1.0)
        .collect();
    let labels: Vec<usize> = (0..batch).map(|i| i % classes).collect();
    let mut times = Vec::new();
    for _ in 0..steps {
        let start = Instant::now();
        let scores = network.forward(&inputs);
        let gradient = cross_entropy_gradient(scores, &labels, classes);
        let forward = start.elapsed();
        network.backward(&gradient);
        for parameter in network.parameters() {
            for (value, gradient) in parameter.values.iter_mut().zip(parameter.gradient) {
                *value -= 1e-3 * gradient;
            }
        }
        times.push([start.elapsed(), forward].map(|time| time.as_secs_f64() * 1e3));
    }
    times.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let [median, forward] = times[steps / 2];
    println!(
        "{{\"median_ms\": {median:.2}, \"forward_ms\": {forward:.2}, \"peak_rss_bytes\": {}}}",
        peak_memory().unwrap_or_default()
    );
    Ok(())
}

/// Largest memory of this process so far, in bytes, where Linux tells.
fn peak_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? * 1024)
}
