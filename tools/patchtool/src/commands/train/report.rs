//! What is said of a training.

use serde_json::json;

use crate::report::{Report, bytes};
use crate::sparse;
use crate::train::probe::Probe;
use crate::train::run::Outcome;
use crate::trained::{ClassWeights, Metrics, Trained};
use graft_data::left_out::Kind;

/// The report of a task.
pub(super) fn report(outcome: &Outcome) -> Report {
    let trained = &outcome.trained;
    let Trained { data, metrics, .. } = trained;
    let step = outcome.step_ms;
    let evaluation = outcome.evaluation.as_ref();
    let balanced = evaluation.map(|evaluation| evaluation.confusion.balanced_accuracy());
    let hidden = evaluation.map(|evaluation| {
        let label = |class: usize| trained.labels[class].clone();
        evaluation.confusion.hidden(label)
    });
    let is_tested = data.test_images > 0;
    let averaged = outcome.average.as_ref().map(|(rule, memory)| {
        format!(
            "averaged by {rule}, which took {} more memory\n",
            bytes(*memory)
        )
    });
    let text = format!(
        "{}: {} of {} trained values{} on {} images\n{}{}{}{}{:.0} s, {step:.1} ms a step\n",
        trained.name,
        trained.kind,
        metrics.trainable_params,
        match trained.from_layer {
            0 => String::new(),
            layer => format!(" from layer {layer} on,"),
        },
        data.images,
        averaged.unwrap_or_default(),
        chosen(trained),
        tested(trained),
        hidden.unwrap_or_default(),
        metrics.seconds,
    );
    let sparse = outcome.sparse.as_deref();
    let table = sparse.map_or(String::new(), |tensors| sparse::table(tensors).to_string());
    let probed = outcome.probe.as_ref().map_or(String::new(), Probe::text);
    let text = table + &probed + &text;
    let last = outcome.history.last().and_then(|epoch| epoch.validation);
    let json = json!({
        "name": trained.name,
        "kind": trained.kind.to_string(),
        "from_layer": trained.from_layer,
        "best": {
            "epoch": metrics.best_epoch,
            "validation_accuracy": metrics.validation_accuracy,
            "validation_loss": metrics.validation_loss,
            "test_accuracy": is_tested.then_some(metrics.test_accuracy),
            "test_balanced_accuracy": balanced.filter(|_| is_tested),
        },
        "last": { "validation_accuracy": last.map(|score| score.accuracy) },
        "epochs": metrics.epochs,
        "diverged": outcome.diverged,
        "average": outcome.average.as_ref().map(|(rule, bytes)| {
            json!({ "rule": rule.to_string(), "bytes": bytes })
        }),
        "probe": outcome.probe.as_ref().map(Probe::json),
        "sparse": sparse.map(sparse::json),
        "class_weights": trained.class_weights,
        "trainable_params": metrics.trainable_params,
        "steps": outcome.steps,
        "step_ms": { "median": step },
        "seconds": metrics.seconds,
        "images": data.images,
        "validation_images": data.validation_images,
        "test_images": data.test_images,
        "shared_images": { "validation": outcome.shared.validation, "test": outcome.shared.test },
        "unreadable": outcome.left_out.count(Kind::Unreadable),
        "left_out": outcome.left_out,
    });
    Report::new(text, json)
}

/// The epoch that is kept, and why that one.
fn chosen(trained: &Trained) -> String {
    let Metrics {
        epochs, best_epoch, ..
    } = trained.metrics;
    let measured = trained.metrics.validation_accuracy;
    let Some((accuracy, loss)) = measured.zip(trained.metrics.validation_loss) else {
        return format!(
            "epoch {best_epoch} of {epochs}, the last: no validation images choose one\n"
        );
    };
    let weighted = match trained.class_weights {
        ClassWeights::None => "",
        ClassWeights::Balanced => ", every class weighted alike",
    };
    format!(
        "best of {epochs} epochs: epoch {best_epoch}, {:.2} % of {} validation images right{weighted}, loss {loss:.3}\n",
        100.0 * accuracy,
        trained.data.validation_images,
    )
}

fn tested(trained: &Trained) -> String {
    match trained.data.test_images {
        0 => "not tested: --test names images that neither train it nor choose the epoch\n".into(),
        images => format!(
            "{:.2} % of {images} test images right\n",
            100.0 * trained.metrics.test_accuracy
        ),
    }
}
