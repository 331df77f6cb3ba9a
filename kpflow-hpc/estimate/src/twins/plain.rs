//! Linear algebra as textbooks have it, in plain loops.

use super::dot;

/// x − Σ q (q·x), twice.
pub(in super::super) fn outside(mut x: Vec<f64>, basis: &[Vec<f64>]) -> Vec<f64> {
    for _ in 0..2 {
        for q in basis {
            let c = dot(q, &x);
            x.iter_mut().zip(q).for_each(|(x, q)| *x -= c * q);
        }
    }
    x
}

/// An orthonormal basis by modified Gram–Schmidt.
pub(in super::super) fn orthonormal(vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for v in vectors {
        let rest = outside(v.clone(), &basis);
        let length = dot(&rest, &rest).sqrt();
        basis.push(rest.iter().map(|x| x / length).collect());
    }
    basis
}

/// M⁻¹ b by Gauss's elimination with pivots.
pub(in super::super) fn solve(m: &[Vec<f64>], b: &[f64]) -> Vec<f64> {
    let n = b.len();
    let mut rows: Vec<Vec<f64>> = m.iter().zip(b).map(|(r, b)| [r.as_slice(), &[*b]].concat()).collect();
    for i in 0..n {
        let pivot = (i..n).max_by(|&p, &q| rows[p][i].abs().total_cmp(&rows[q][i].abs())).unwrap();
        rows.swap(i, pivot);
        for k in 0..n {
            if k != i {
                let f = rows[k][i] / rows[i][i];
                let row = rows[i].clone();
                rows[k].iter_mut().zip(&row).for_each(|(x, y)| *x -= f * y);
            }
        }
    }
    (0..n).map(|i| rows[i][n] / rows[i][i]).collect()
}

/// The Nyström approximation from these probes, as a matrix of any size.
pub(in super::super) fn nystrom(omega: &[Vec<f64>], y: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let n = omega[0].len();
    let h: Vec<Vec<f64>> = omega.iter().map(|w| y.iter().map(|y| dot(w, y)).collect()).collect();
    let column = |j: usize| {
        let c = solve(&h, &y.iter().map(|y| y[j]).collect::<Vec<_>>());
        (0..n).map(|i| y.iter().zip(&c).map(|(y, c)| y[i] * c).sum()).collect()
    };
    (0..n).map(column).collect()
}

pub(in super::super) fn form(a: &[Vec<f64>], x: &[f64]) -> f64 {
    a.iter().zip(x).map(|(row, x0)| x0 * dot(row, x)).sum()
}

pub(in super::super) fn without<X: Clone>(all: &[X], i: usize) -> Vec<X> {
    all.iter().enumerate().filter(|(k, _)| *k != i).map(|(_, x)| x.clone()).collect()
}

pub(in super::super) fn as_rows(a: &[f64], n: usize) -> Vec<Vec<f64>> {
    a.chunks(n).map(<[f64]>::to_vec).collect()
}

pub(in super::super) fn trace(a: &[Vec<f64>]) -> f64 {
    (0..a.len()).map(|i| a[i][i]).sum()
}
