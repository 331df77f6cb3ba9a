//! Partial traces of products, where there are numbers.

use crate::error::fits;
use crate::space::{Space, TESTS};
use crate::split::Split;
use crate::workers::Workers;
use crate::{Problem, Tall};
use kpflow_core::machine::{Gemm, MatMut, MatRef};
use kpflow_core::probe::Probe;
use kpflow_core::{BlockMut, Scalar, Shape};

impl Split {
    pub(crate) fn contract<T: Scalar, M: Workers<T>>(
        &self,
        problem: &Problem<'_, T, M>,
        first: usize,
        x: &Tall<T>,
        y: &Tall<T>,
    ) -> Vec<f64> {
        let (d, rest, places, m) = (self.count(true), self.count(false), self.places(), x.vectors);
        let (machine, trajectories, start) = (problem.machine, problem.trajectories, problem.first);
        let (extent, probe, shape) = (problem.extent(), problem.sign_probe(), self.shape);
        let mut all = vec![0.0f64; m * d * d];
        machine.for_each(m, &mut all, d * d, &mut [], 0, |v, sample, _: &mut [f64]| {
            let (mut signs, mut images) = (vec![0.0f64; rest * d], vec![0.0f64; rest * d]);
            // The signs of all trajectories, if those are what is kept: any part of a probe can be made anywhere.
            if self.kept[0] {
                let whole = whole_probe::<T>(&probe, shape, first + v);
                for b in 0..trajectories {
                    places.each(b, &whole.part(b, 0)[..extent.of(b)], |x, k, r| signs[r * d + k] = x.f64());
                }
            }
            for b in 0..x.shape.trajectories {
                if !self.kept[0] {
                    places.each(start + b, x.part(b, v), |x, k, r| signs[r * d + k] = x.f64());
                }
                places.each(start + b, y.part(b, v), |y, k, r| images[r * d + k] = y.f64());
            }
            let (s, y) = (fits(MatRef::new(&signs, rest, d, d)), fits(MatRef::new(&images, rest, d, d)));
            let product = Gemm::new(s.t(), y, fits(MatMut::new(sample, d, d, d)));
            machine.gemm(1.0, fits(product), 0.0);
        });
        problem.sum(&mut all);
        all
    }

    /// Where trajectories are kept, each process takes the first factor of all of them, a column after the other.
    pub(crate) fn contract_pairs<T: Scalar, M: Workers<T>>(
        &self,
        problem: &Problem<'_, T, M>,
        x: &Tall<T>,
        y: &Tall<T>,
    ) -> Vec<f64> {
        let (d, rest, places) = (self.count(true), self.count(false), self.places());
        let (machine, start, per) = (problem.machine, problem.first, x.shape.per_trajectory());
        let mut all = vec![0.0f64; d * d];
        let (mut left, mut right) = (vec![0.0f64; rest * d], vec![0.0f64; rest * d]);
        let mut whole = if self.kept[0] { vec![0.0f64; problem.trajectories * per] } else { Vec::new() };
        for v in 0..x.vectors {
            if self.kept[0] {
                let own: Vec<f64> = (0..x.shape.trajectories).flat_map(|b| x.part(b, v)).map(|x| x.f64()).collect();
                problem.sums().gather(&own, start * per, &mut whole);
                for (b, part) in whole.chunks(per.max(1)).enumerate() {
                    places.each(b, part, |x, k, r| left[r * d + k] = *x);
                }
            }
            for b in 0..x.shape.trajectories {
                if !self.kept[0] {
                    places.each(start + b, x.part(b, v), |x, k, r| left[r * d + k] = x.f64());
                }
                places.each(start + b, y.part(b, v), |y, k, r| right[r * d + k] = y.f64());
            }
            let (l, r) = (fits(MatRef::new(&left, rest, d, d)), fits(MatRef::new(&right, rest, d, d)));
            machine.gemm(1.0, fits(Gemm::new(l.t(), r, fits(MatMut::new(&mut all, d, d, d)))), 1.0);
        }
        problem.sum(&mut all);
        all
    }

    /// The sign of what is traced out is the one that the probe has at the first of the kept.
    pub(crate) fn signs<T: Scalar, M: Workers<T>>(&self, problem: &Problem<'_, T, M>, first: usize) -> Vec<f64> {
        let whole = if self.kept[0] {
            whole_probe(&problem.sign_probe(), self.shape, first)
        } else {
            problem.draw(TESTS, first, 1)
        };
        let start = if self.kept[0] { 0 } else { problem.first };
        let (places, mut signs) = (self.places(), vec![0.0f64; self.count(false)]);
        for b in 0..whole.shape.trajectories {
            places.each(start + b, whole.part(b, 0), |x, k, r| {
                if k == 0 {
                    signs[r] = x.f64();
                }
            });
        }
        signs
    }

    pub(crate) fn structured<T: Scalar, M: Workers<T>>(
        &self,
        problem: &Problem<'_, T, M>,
        signs: &[f64],
        kept: std::ops::Range<usize>,
    ) -> Tall<T> {
        let (places, mut x) = (self.places(), problem.zeros(kept.len()));
        for b in 0..x.shape.trajectories {
            places.each(problem.first + b, 0.., |i, k, r| {
                if kept.contains(&k) {
                    x.part_mut(b, k - kept.start)[i] = T::of(signs[r]);
                }
            });
        }
        x
    }

    pub(crate) fn contract_columns<T: Scalar, M: Workers<T>>(
        &self,
        problem: &Problem<'_, T, M>,
        signs: &[f64],
        y: &Tall<T>,
    ) -> Vec<f64> {
        let (d, places, first) = (self.count(true), self.places(), problem.first);
        let mut columns = vec![0.0f64; y.vectors * d];
        problem.machine.for_each(y.vectors, &mut columns, d, &mut [], 0, |v, column, _: &mut [f64]| {
            for b in 0..y.shape.trajectories {
                places.each(first + b, y.part(b, v), |y, k, r| column[k] += y.f64() * signs[r]);
            }
        });
        columns
    }
}

/// A probe in all trajectories of all processes.
fn whole_probe<T: Scalar>(probe: &Probe, shape: Shape, vector: usize) -> Tall<T> {
    let mut x = Tall::zeros(shape, 1);
    fits(BlockMut::new(shape, 1, &mut x.data).and_then(|block| probe.fill(0, vector, block)));
    x
}
