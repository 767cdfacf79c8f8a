//! Whom a client believes about a public image: of all teachers the most confident.
//!
//! "Decentralized Learning with Multi-Headed Distillation" (Zhmoginov et al. 2023) compares probabilities. A client that
//! says everything with probability 1 then teaches everybody, whatever it says. By [`Trust::Rank`], a confidence is its
//! place among all confidences of the same teacher: whoever raises all of them raises none, and among n teachers nobody
//! is believed on much more than its share of the images.

use std::fmt;

use rand::Rng;
use rand::seq::index::sample;

use crate::predictions::Predictions;

/// The measure of a teacher's confidence about an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Trust {
    /// The share of the images about which the same teacher is less confident; those with equal confidence count half.
    #[default]
    Rank,
    /// The probability of the most probable class, as the paper has it: for clients that trust each other.
    Probability,
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rank => "rank",
            Self::Probability => "probability",
        })
    }
}

/// Whom to ask, and whom of them to believe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Belief {
    /// Measure of confidence.
    pub trust: Trust,
    /// Others that are asked about an image, drawn at random each time; `None` asks all. The paper asks one.
    pub asked: Option<usize>,
}

/// The index of the teacher that is believed about each image; all know the same images. The first, which is the client
/// itself, is always asked, and the first of equals is believed.
///
/// # Panics
/// If there is no teacher.
pub fn choose(
    teachers: &[&Predictions],
    Belief { trust, asked }: Belief,
    random: &mut impl Rng,
) -> Vec<usize> {
    let measures: Vec<[f32; 256]> = teachers
        .iter()
        .map(|teacher| match trust {
            Trust::Rank => ranks(teacher),
            Trust::Probability => std::array::from_fn(|share| share as f32),
        })
        .collect();
    let confidence =
        |teacher: usize, image| measures[teacher][usize::from(teachers[teacher].confidence(image))];
    let mut believed = Vec::new();
    let others = teachers.len() - 1;
    for image in 0..teachers[0].images() {
        let mut asked = match asked {
            Some(count) if count < others => sample(random, others, count).into_vec(),
            Some(_) | None => (0..others).collect(),
        };
        asked.sort_unstable();
        let best = asked.into_iter().fold(0, |best, other| {
            let is_better = confidence(other + 1, image) > confidence(best, image);
            if is_better { other + 1 } else { best }
        });
        believed.push(best);
    }
    believed
}

/// The rank of each confidence among those of a teacher, 0 to 1.
fn ranks(teacher: &Predictions) -> [f32; 256] {
    let mut counts = [0_usize; 256];
    for image in 0..teacher.images() {
        counts[usize::from(teacher.confidence(image))] += 1;
    }
    let mut below = 0;
    counts.map(|count| {
        let rank = (below as f32 + count as f32 / 2.0) / teacher.images() as f32;
        below += count;
        rank
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use graft_data::random::{Purpose, generator};
    use graft_tests::Random;

    fn believed(teachers: &[&Predictions], trust: Trust, asked: Option<usize>) -> Vec<usize> {
        let mut random = generator(1, Purpose::Start);
        choose(teachers, Belief { trust, asked }, &mut random)
    }

    /// A teacher of two classes, as confident about each image as this score says.
    fn teacher(scores: &[f32]) -> Predictions {
        let rows: Vec<f32> = scores.iter().flat_map(|&score| [score, 0.0]).collect();
        Predictions::of(&rows, 2)
    }

    #[test]
    fn the_most_confident_is_believed() {
        let teachers = [&teacher(&[3.0, 1.0, 2.0]), &teacher(&[1.0, 3.0, 2.0])];
        for trust in [Trust::Rank, Trust::Probability] {
            assert_eq!(believed(&teachers, trust, None), [0, 1, 0], "{trust}");
        }
    }

    #[test]
    fn by_rank_nobody_is_believed_for_being_sure_of_everything() {
        let images = 1000;
        let sure_at_random = |seed, scale| {
            let scores = Random(seed).values(images, scale).into_iter();
            teacher(&scores.map(f32::abs).collect::<Vec<_>>())
        };
        let honest: Vec<Predictions> = (0..4).map(|seed| sure_at_random(seed, 5.0)).collect();
        let sure = teacher(&vec![50.0; images]);
        let teachers: Vec<&Predictions> = honest.iter().chain([&sure]).collect();
        let of_sure = |trust| {
            let chosen = believed(&teachers, trust, None);
            chosen.into_iter().filter(|&teacher| teacher == 4).count()
        };
        assert_eq!(of_sure(Trust::Probability), images);
        assert!(
            of_sure(Trust::Rank) < images / 5,
            "{}",
            of_sure(Trust::Rank)
        );
        // Nor for spreading its confidence at random.
        let random = sure_at_random(9, 50.0);
        let teachers: Vec<&Predictions> = honest.iter().chain([&random]).collect();
        let chosen = believed(&teachers, Trust::Rank, None);
        let count = chosen.iter().filter(|&&teacher| teacher == 4).count();
        assert!(count < images / 3, "{count}");
    }

    #[test]
    fn of_others_that_are_drawn_each_is_asked_as_often() {
        let images = 4000;
        let unsure = teacher(&vec![0.0; images]);
        let sure = teacher(&vec![9.0; images]);
        let teachers = [&unsure, &sure, &sure, &sure, &sure];
        let chosen = believed(&teachers, Trust::Probability, Some(1));
        for teacher in 1..5 {
            let count = chosen.iter().filter(|&&chosen| chosen == teacher).count();
            assert!((900..1100).contains(&count), "{teacher}: {count}");
        }
    }
}
