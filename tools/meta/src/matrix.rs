//! Accuracies of tasks that were learned after one another.

use serde::{Deserialize, Serialize};

use crate::continual;
use crate::evaluate::Accuracy;

/// Accuracies after each task (rows) on each task so far (columns), 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    /// Means over episodes.
    pub accuracy: Vec<Vec<f64>>,
    /// Of the last row.
    pub mean: Accuracy,
    /// Share of right answers that earlier tasks gained, negative where they were forgotten.
    pub backward_transfer: Accuracy,
}

impl Matrix {
    pub(crate) fn of(matrices: &[Vec<Vec<f64>>]) -> Self {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let last = |matrix: &Vec<Vec<f64>>| matrix.last().map_or(0.0, |row| mean(row));
        let cell = |row: usize, column: usize| {
            let cells: Vec<f64> = matrices.iter().map(|matrix| matrix[row][column]).collect();
            mean(&cells)
        };
        let rows = 0..matrices.first().map_or(0, Vec::len);
        let of = |share: &dyn Fn(&Vec<Vec<f64>>) -> f64| {
            let shares: Vec<f64> = matrices.iter().map(share).collect();
            Accuracy::of(&shares)
        };
        Self {
            accuracy: rows
                .map(|row| (0..=row).map(|column| cell(row, column)).collect())
                .collect(),
            mean: of(&last),
            backward_transfer: of(&|matrix| continual::backward_transfer(matrix)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_are_means_cell_by_cell() {
        let matrix = Matrix::of(&[
            vec![vec![0.8], vec![0.6, 1.0]],
            vec![vec![0.4], vec![0.6, 0.0]],
        ]);
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert_eq!(
            matrix.accuracy.iter().map(Vec::len).collect::<Vec<_>>(),
            [1, 2]
        );
        let cells = matrix.accuracy.concat();
        assert!(
            cells.iter().zip([0.6, 0.6, 0.5]).all(|(&a, b)| close(a, b)),
            "{cells:?}"
        );
        // Of the last rows 0.8 and 0.3; the first task lost 0.2 and gained 0.2.
        assert!(close(matrix.mean.mean, 0.55) && close(matrix.backward_transfer.mean, 0.0));
    }
}
