//! Sums are exact, and what was added can be taken away.

use super::*;

fn projection(inputs: usize, dimensions: usize) -> Projection {
    Projection::new(inputs, dimensions, 7, 1.0).expect("a projection")
}

/// Examples of three classes in `inputs` values, and the class of each.
fn examples(inputs: usize, count: usize) -> Vec<(usize, Vec<f32>)> {
    let mut bits = 1u32;
    let mut random = || {
        bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (bits >> 16) as f32 % 200.0
    };
    (0..count)
        .map(|example| {
            let class = example % 3;
            let value =
                |at: usize, noise: f32| noise + 100.0 * f32::from(u8::from(at % 3 == class));
            (class, (0..inputs).map(|at| value(at, random())).collect())
        })
        .collect()
}

fn learner<'m>(
    projection: Projection,
    examples: &[(usize, Vec<f32>)],
    memory: &'m mut Vec<i32>,
) -> HeadLearner<'m> {
    *memory = vec![-1; HeadLearner::words_len(projection.dimensions(), 4)];
    let mut learner = HeadLearner::new(projection, memory).expect("there is memory");
    for (class, x) in examples {
        learner
            .add(*class, LayerOutput::F32(x))
            .expect("there is room");
    }
    learner
}

fn sums(projection: Projection, examples: &[(usize, Vec<f32>)]) -> Vec<i32> {
    learner(projection, examples, &mut Vec::new())
        .sums()
        .to_vec()
}

fn head(learner: &HeadLearner<'_>, recipe: &Recipe<'_>) -> Vec<f32> {
    let mut work = vec![f32::NAN; learner.work_len(recipe.method)];
    let mut weights = vec![0.0; learner.weights_len()];
    learner
        .learn(recipe, &mut work, &mut weights)
        .expect("there are examples");
    weights
}

#[test]
fn sums_do_not_depend_on_the_order() {
    for dimensions in [12, 5, 1] {
        let projection = projection(12, dimensions);
        let forwards = examples(12, 30);
        let mut other = forwards.clone();
        other[3..].reverse();
        assert_eq!(sums(projection, &forwards), sums(projection, &other));
    }
}

#[test]
fn an_example_and_a_class_are_forgotten_as_if_they_had_never_been_there() {
    let projection = projection(12, 7);
    let all = examples(12, 30);
    let without = |gone: usize| -> Vec<_> {
        let others = all.iter().filter(|(class, _)| *class != gone);
        let renumbered = others.map(|(class, x)| (class - usize::from(*class > gone), x.clone()));
        renumbered.collect()
    };
    for gone in 0..3 {
        let mut memory = Vec::new();
        let mut learner = learner(projection, &all, &mut memory);
        learner.forget(gone).unwrap();
        assert_eq!(learner.classes(), 2);
        assert_eq!(learner.sums(), sums(projection, &without(gone)));
    }
    let mut memory = Vec::new();
    let mut learner = learner(projection, &all, &mut memory);
    let (class, x) = &all[29];
    learner.subtract(*class, LayerOutput::F32(x)).unwrap();
    assert_eq!(learner.sums(), sums(projection, &all[..29]));
}

#[test]
fn what_was_never_added_is_not_taken_away() {
    let projection = projection(4, 4);
    let mut memory = Vec::new();
    let x = [3.0, 4.0, 5.0, 0.0];
    let mut learner = learner(projection, &[(0, x.to_vec())], &mut memory);
    for other in [[3.0, 4.0, 6.0, 0.0], [-3.0, 4.0, 5.0, 0.0], [0.0; 4]] {
        let found = learner.subtract(0, LayerOutput::F32(&other));
        assert_eq!(found, Err(LearnError::NotAnExample { class: 0 }));
    }
    let found = learner.subtract(1, LayerOutput::F32(&x));
    assert_eq!(
        found,
        Err(LearnError::NoSuchClass {
            found: 1,
            classes: 1
        })
    );
    learner.subtract(0, LayerOutput::F32(&x)).unwrap();
    assert_eq!(learner.examples(0), 0);
    assert!(learner.subtract(0, LayerOutput::F32(&x)).is_err());
}

#[test]
fn sums_never_overflow() {
    let projection = projection(2, 2);
    let mut memory = Vec::new();
    let mut learner = learner(projection, &[], &mut memory);
    let x = [1023.0, -1e9];
    let mut added = 0;
    let full = loop {
        match learner.add(0, LayerOutput::F32(&x)) {
            Ok(()) => added += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full, LearnError::Full { class: 0 });
    assert_eq!(added, i32::MAX / (1023 * 1023));
    let square = added * 1023 * 1023;
    assert_eq!(
        learner.sums(),
        [added, added * 1023, -added * 1023, square, -square, square]
    );
}

#[test]
fn classes_are_added_in_order_while_there_is_memory() {
    let mut memory = vec![0; HeadLearner::words_len(2, 2) - 1];
    let projection = projection(2, 2);
    let error = HeadLearner::new(projection, &mut memory).unwrap_err();
    assert!(
        matches!(error, LearnError::Memory { expected: 14, .. }),
        "{error}"
    );
    let mut memory = vec![0; HeadLearner::words_len(2, 2)];
    let mut learner = HeadLearner::new(projection, &mut memory).unwrap();
    let x = LayerOutput::F32(&[1.0, 2.0]);
    let error = learner.add(1, x).unwrap_err();
    assert_eq!(
        error,
        LearnError::NoSuchClass {
            found: 1,
            classes: 0
        }
    );
    for class in [0, 1] {
        learner.add(class, x).unwrap();
    }
    assert_eq!(learner.add(2, x), Err(LearnError::Classes { capacity: 2 }));
    let found = learner.add(0, LayerOutput::F32(&[1.0]));
    assert_eq!(
        found,
        Err(LearnError::Length {
            found: 1,
            expected: 2
        })
    );
    learner.forget(0).unwrap();
    learner.add(1, x).unwrap();
    assert_eq!(learner.examples(1), 1);
}

#[test]
fn a_head_tells_its_examples_apart() {
    let all = examples(12, 60);
    let projection = projection(12, 12);
    let mut memory = Vec::new();
    let learner = learner(projection, &all, &mut memory);
    for recipe in [GD, GD_PLUS_PLUS, RIDGE] {
        let weights = head(&learner, &recipe);
        let right = all.iter().filter(|(class, x)| {
            let scores = weights.chunks(13).map(|row| {
                let products = row.iter().zip(x).map(|(w, x)| w * x.round_ties_even());
                products.sum::<f32>() + row[12]
            });
            let best = scores.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
            best.is_some_and(|(best, _)| best == *class)
        });
        assert!(right.count() >= 50, "{recipe:?}");
    }
}

#[test]
fn many_steps_and_ridge_without_lambda_are_least_squares() {
    let all = examples(6, 200);
    let projection = projection(6, 6);
    let mut memory = Vec::new();
    let learner = learner(projection, &all, &mut memory);
    let recipe = |method| Recipe {
        method,
        confidence: 1.0,
    };
    let closed = head(&learner, &recipe(Method::Ridge { lambda: 1e-6 }));
    let mut weights = vec![0.0; learner.weights_len()];
    let steps = [Step {
        eta: 1.9,
        gamma: 0.0,
    }; MAX_STEPS];
    let descent = recipe(Method::Descent(&steps));
    let mut work = vec![0.0; learner.work_len(descent.method)];
    // Each call goes on from the weights of the one before.
    for _ in 0..200 {
        learner.learn(&descent, &mut work, &mut weights).unwrap();
    }
    for (found, expected) in weights.iter().zip(&closed) {
        assert!(
            (found - expected).abs() < 1e-4 + 1e-3 * expected.abs(),
            "{found}, {expected}"
        );
    }
}

#[test]
fn recipes_without_a_sense_are_refused() {
    let all = examples(4, 6);
    let mut memory = Vec::new();
    let learner = learner(projection(4, 4), &all, &mut memory);
    let step = |eta, gamma| Step { eta, gamma };
    let recipe = |method| Recipe {
        method,
        confidence: 1.0,
    };
    for bad in [
        recipe(Method::Descent(&[])),
        recipe(Method::Descent(&[step(1.0, 0.0); MAX_STEPS + 1])),
        recipe(Method::Descent(&[step(f32::NAN, 0.0)])),
        recipe(Method::Descent(&[step(1.0, -1.0)])),
        recipe(Method::Ridge { lambda: 0.0 }),
        Recipe {
            confidence: 0.0,
            ..RIDGE
        },
    ] {
        let (mut work, mut weights) = (vec![0.0; 1000], vec![0.0; 1000]);
        let found = learner.learn(&bad, &mut work, &mut weights);
        assert!(matches!(found, Err(LearnError::Recipe { .. })), "{bad:?}");
    }
}

#[test]
fn the_greatest_eigenvalue_is_not_that_of_one_dimension() {
    // The first dimension has the greatest variance of all, and nothing to do with the others, which go together.
    let mut all = Vec::new();
    for class in 0..2 {
        for sign in [-10.0, 10.0] {
            let mut x = vec![9.0 * class as f32; 10];
            x[0] = sign;
            all.push((class, x));
        }
    }
    let mut memory = Vec::new();
    let learner = learner(projection(10, 10), &all, &mut memory);
    let mut work = vec![0.0; learner.work_len(GD.method)];
    let mut weights = vec![0.0; learner.weights_len()];
    let found = learner.learn(&GD, &mut work, &mut weights).unwrap();
    // 9 dimensions of variance 4.5^2 each.
    assert!(
        (found.eigenvalue() - 182.25).abs() < 1.0,
        "{}",
        found.eigenvalue()
    );
}
