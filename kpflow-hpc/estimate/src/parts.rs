//! Bases of a trajectory's own, where there are numbers.

use crate::error::fits;
use crate::workers::Workers;
use crate::Tall;
use kpflow_core::machine::{Gemm, MatMut, MatRef};
use kpflow_core::Scalar;

/// In every trajectory an orthonormal basis of what y's columns have outside of q's, by Gram and Schmidt in double precision, each column twice.
///
/// What is left of a column that others span is rounding: a direction like any other, which costs a column and does no harm. Nothing at all becomes 0.
pub(crate) fn orthonormal<T: Scalar, M: Workers<T>>(machine: &M, q: &Tall<T>, y: Tall<T>) -> Tall<T> {
    let (mut y, n, k) = (y, q.shape.per_trajectory(), q.vectors);
    let (m, count) = (y.vectors, y.shape.trajectories);
    machine.for_each(count, &mut y.data, m * n, &mut [], 0, |b, part, _: &mut [T]| {
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let mut basis: Vec<Vec<f64>> = (0..k).map(|v| q.part(b, v).iter().map(|x| x.f64()).collect()).collect();
        for column in part.chunks_mut(n.max(1)) {
            let mut x: Vec<f64> = column.iter().map(|x| x.f64()).collect();
            for _ in 0..2 {
                let before = dot(&x, &x).sqrt();
                for q in &basis {
                    let c = dot(q, &x);
                    x.iter_mut().zip(q).for_each(|(x, q)| *x -= c * q);
                }
                let after = dot(&x, &x).sqrt();
                let factor = if after > 1e-3 * T::epsilon().f64() * before { after.recip() } else { 0.0 };
                x.iter_mut().for_each(|x| *x *= factor);
            }
            column.iter_mut().zip(&x).for_each(|(to, x)| *to = T::of(*x));
            basis.push(x);
        }
    });
    y
}

/// y −= Z Qᵀ X in every trajectory.
pub(crate) fn subtract<T: Scalar, M: Workers<T>>(machine: &M, y: &mut Tall<T>, z: &Tall<T>, q: &Tall<T>, x: &Tall<T>) {
    let (n, m, k) = (y.shape.per_trajectory(), y.vectors, q.vectors);
    if m == 0 || k == 0 || n == 0 {
        return;
    }
    let count = y.shape.trajectories;
    machine.for_each(count, &mut y.data, m * n, &mut [], 0, |b, y, _: &mut [T]| {
        let of = |block: &'_ Tall<T>, vectors: usize| b * vectors * n..block.data.len();
        let [q, z, x] = [&q.data[of(q, k)], &z.data[of(z, k)], &x.data[of(x, m)]];
        let mut c = vec![T::zero(); m * k];
        let (of_x, of_q) = (fits(MatRef::new(x, m, n, n)), fits(MatRef::new(q, k, n, n)));
        machine.gemm(T::one(), fits(Gemm::new(of_x, of_q.t(), fits(MatMut::new(&mut c, m, k, k)))), T::zero());
        let (c, z) = (fits(MatRef::new(&c, m, k, k)), fits(MatRef::new(z, k, n, n)));
        machine.gemm(-T::one(), fits(Gemm::new(c, z, fits(MatMut::new(y, m, n, n)))), T::one());
    });
}
