//! Eigenpairs, recurrences, marginals and alignments, as [`super::walk`] goes.

use super::ledger::Ledger;
use super::walk::{each_block, nystrom, one_sided, Means};
use crate::estimate;
use crate::job::{Analysis, Axis, Method, Quantity};

pub(super) fn krylov(means: &Means, l: &mut Ledger<'_>, count: usize, m: usize) {
    let count = count.min(l.total);
    let (width, longest) = estimate::block_krylov_sizes(count, l.block, l.total);
    if m <= width + count {
        l.apply(&means.whole, m, 1.0);
        return;
    }
    l.extend(&means.whole, 0, width);
    l.dots(width);
    nystrom(l, 0, width);
    l.orthogonalise(0, 0, width);
    let (mut left, mut basis, mut blocks) = (m - width, 0, 0);
    let reserve = count.min(m / 2);
    while left > reserve && basis < l.total {
        let step = width.min(left - reserve).min(l.total - basis);
        l.apply(&means.whole, step, 1.0);
        l.dots(step);
        (left, basis, blocks) = (left - step, basis + step, blocks + 1);
        l.orthogonalise(basis, blocks, step);
        l.small(10.0 * (basis as f64).powi(3));
        l.may_stop();
        if basis + width > longest && basis > count {
            let keep = (count + (basis - count) / 2).min(2 * count + l.block).min(basis - 1);
            l.work(2.0 * (means.n * basis) as f64 * keep as f64);
            (basis, blocks) = (keep, 1);
        }
    }
    let k = count.min(left);
    l.apply(&means.whole, k, 1.0);
    l.gram(k, k);
    l.dots(k);
}

pub(super) fn lanczos(a: &Analysis, means: &Means, l: &mut Ledger<'_>) {
    let (steps, _) = estimate::lanczos_sizes(a.quantity == Quantity::Density, a.max_matvecs, l.total);
    let mut left = a.max_matvecs / steps;
    while left > 0 {
        let probes = left.min(8);
        for step in 0..steps {
            l.apply(&means.whole, probes, 1.0);
            // Twice against all vectors before, in the order of the recurrence.
            (0..2 * (step + 1)).for_each(|_| {
                // An inner product, and a subtraction that reads and writes as much again.
                l.dots(probes);
                l.passes(probes);
            });
            l.dots(probes);
        }
        left -= probes;
        if a.quantity != Quantity::Density {
            l.may_stop();
        }
    }
}

pub(super) fn marginal(a: &Analysis, means: &Means, l: &mut Ledger<'_>) {
    let d: usize = [Axis::Trajectory, Axis::Time, Axis::Unit]
        .iter()
        .zip(means.sizes)
        .filter(|(axis, _)| a.axes.contains(axis))
        .map(|(_, size)| size)
        .product();
    let product = if a.axes.contains(&Axis::Trajectory) { &means.whole } else { &means.blocks };
    let m = a.max_matvecs;
    if estimate::is_structured(m, d) {
        for _ in 0..m / d {
            each_block(d, l.block, |b| {
                l.apply(product, b, 1.0);
                l.loops(6 * b);
            });
            l.sum(d * d);
            l.may_stop();
        }
    } else {
        each_block(m, l.block, |b| {
            l.apply(product, b, 1.0);
            l.work((2 * means.n * b * d) as f64);
            l.draw(b);
            // Signs and images find their places.
            l.loops(6 * b);
            l.sum(b * d * d);
            l.may_stop();
        });
    }
}

pub(super) fn alignment(a: &Analysis, means: &Means, l: &mut Ledger<'_>) -> Method {
    let m = a.max_matvecs;
    if a.method == Method::OneSided {
        (0..2).for_each(|_| one_sided(a, means, l));
        return a.method;
    }
    let deflate = a.method != Method::Hutchinson;
    let k = if deflate { (m / 8).min(32).min(l.total) } else { 0 };
    for side in 0..if k > 0 { 2 } else { 0 } {
        l.apply(&means.whole, k, 0.5);
        l.dots(k);
        l.orthogonalise(side * k, 1, k);
    }
    // One budget for both: a pair of products is counted once.
    (0..2).for_each(|_| l.apply(&means.whole, 2 * k, 0.5));
    (0..3).for_each(|_| l.dots(2 * k));
    each_block(m.saturating_sub(3 * k), l.block, |b| {
        l.gram(2 * k, b);
        (0..2).for_each(|_| l.apply(&means.whole, b, 0.5));
        (0..3).for_each(|_| l.dots(b));
        l.may_stop();
    });
    if deflate {
        Method::Hutchpp
    } else {
        Method::Hutchinson
    }
}
