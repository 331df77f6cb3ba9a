//! The way that an analysis goes where its tolerance is never reached: what it spends at most, and when it could stop first.
//!
//! Each function follows the estimator of its name ([`crate::estimate`]) call by call.

use super::ledger::{Ledger, Product};
use super::spectra::{alignment, krylov, lanczos, marginal};
use crate::estimate::{self, Closed};
use crate::job::{Analysis, Method, Operator, Quantity};
use crate::run::analyse::SMALL;

/// What an analysis can make of its operator.
pub(super) struct Means {
    pub whole: Product,
    pub blocks: Product,
    /// One sweep back, which writes changes of the weights or, for P, the state.
    pub back: Product,
    /// Whether that is the same on all ranks.
    pub replicated: bool,
    /// Numbers that it writes.
    pub out: usize,
    /// Flops of the closed form of the trace and of the Frobenius norm on all ranks, where there is one.
    pub exact: Option<(Closed, f64)>,
    pub exact_frobenius: Option<f64>,
    /// Bytes of this rank's rows of features.
    pub features: usize,
    pub lyapunov_flops: f64,
    /// Flops of a product of NTK with one vector on all ranks.
    pub product_flops: f64,
    pub ranks: usize,
    /// This rank's numbers of a vector.
    pub n: usize,
    pub number: usize,
    pub sizes: [usize; 3],
    pub variables: usize,
}

/// Goes all the way; returns the name of the method.
pub(super) fn walk(a: &Analysis, means: &Means, l: &mut Ledger<'_>) -> Method {
    let method = way(a, means, l);
    if a.vectors && matches!(a.quantity, Quantity::Eigenpairs | Quantity::SingularTriplets) {
        let tensors = if a.quantity == Quantity::Eigenpairs { 1 } else { 2 };
        (0..tensors).for_each(|_| l.gather(a.count.min(l.total) * means.n * means.number));
    }
    method
}

fn way(a: &Analysis, means: &Means, l: &mut Ledger<'_>) -> Method {
    let m = a.max_matvecs;
    let by_matrix = match a.method {
        Method::Dense => true,
        Method::Auto => a.quantity == Quantity::Matrix || (l.total <= SMALL.min(m) && a.operator.symmetric()),
        _ => false,
    };
    match a.quantity {
        Quantity::Lyapunov => {
            l.work(means.lyapunov_flops);
            l.gather(means.sizes[0].div_ceil(means.ranks) * means.sizes[2] * 8);
            return Method::Exact;
        }
        Quantity::Trace => return trace(a, means, l, a.method, m),
        Quantity::Frobenius if a.operator.symmetric() => return frobenius(a, means, l, m),
        Quantity::Alignment if !by_matrix => return alignment(a, means, l),
        _ => {}
    }
    if by_matrix {
        dense(means, l);
        if a.quantity == Quantity::Alignment {
            dense(means, l);
        }
        return Method::Dense;
    }
    match a.quantity {
        Quantity::Frobenius => samples(means, l, m, 1),
        Quantity::EffectiveRank if a.method == Method::Hutchinson => samples(means, l, m, 2),
        Quantity::EffectiveRank if a.method == Method::OneSided => one_sided(a, means, l),
        Quantity::EffectiveRank => {
            let exact = trace(a, means, l, Method::Auto, m.div_ceil(3)) == Method::Exact;
            l.least = None;
            frobenius(a, means, l, if exact { m } else { m - m.div_ceil(3) });
        }
        Quantity::StableRank => {
            krylov(means, l, 1, m.div_ceil(3));
            l.least = None;
            frobenius(a, means, l, m - m.div_ceil(3));
        }
        Quantity::Norm => krylov(means, l, 1, m),
        Quantity::Eigenpairs => krylov(means, l, a.count, m),
        Quantity::SingularTriplets => {
            let reserve = a.count.min(m / 3);
            krylov(means, l, a.count, m - reserve);
            l.apply(&means.whole, reserve, 1.0);
            (0..2).for_each(|_| l.dots(reserve));
        }
        Quantity::Learnability => {
            krylov(means, l, a.count, m);
            l.apply(&means.whole, 1, 1.0);
            (0..2).for_each(|_| l.dots(1));
            l.gram(a.count, 1);
        }
        Quantity::Density | Quantity::LogDet | Quantity::EntropyRank => lanczos(a, means, l),
        Quantity::Marginal => marginal(a, means, l),
        Quantity::Blocks => {
            let parts = means.variables.max(1);
            for _ in 0..parts {
                each_block((m / parts).max(2), l.block, |b| {
                    l.apply(&means.whole, b, 1.0);
                    l.sum(b * (parts + 1));
                });
            }
        }
        _ => {}
    }
    match (a.method, a.quantity) {
        (Method::Auto, Quantity::Density | Quantity::LogDet | Quantity::EntropyRank) => Method::Lanczos,
        (Method::Auto, Quantity::Marginal | Quantity::Blocks) => Method::Hutchinson,
        (Method::Auto, Quantity::EffectiveRank | Quantity::StableRank) => Method::Hutchpp,
        (Method::Auto, Quantity::Frobenius) => Method::Hutchinson,
        (Method::Auto, _) => Method::BlockKrylov,
        (method, _) => method,
    }
}

pub(super) fn each_block(total: usize, block: usize, mut f: impl FnMut(usize)) {
    (0..total).step_by(block.max(1)).for_each(|first| f(block.min(total - first)));
}

/// Samples of a block each, `dots` inner products a sample.
fn samples(means: &Means, l: &mut Ledger<'_>, m: usize, dots: usize) {
    sample_of(&means.whole, l, m, dots);
}

fn sample_of(product: &Product, l: &mut Ledger<'_>, m: usize, dots: usize) {
    each_block(m, l.block, |b| {
        l.draw(b);
        l.apply(product, b, 1.0);
        (0..dots).for_each(|_| l.dots(b));
        l.may_stop();
    });
}

fn exact(l: &mut Ledger<'_>, flops: f64) -> Method {
    l.gramians(flops);
    Method::Exact
}

fn trace(a: &Analysis, means: &Means, l: &mut Ledger<'_>, method: Method, m: usize) -> Method {
    let by_trajectories = crate::run::analyse::closed(a.operator).is_some() && !a.part.average;
    let form = means.exact.filter(|_| a.part.is_all());
    let products = form.map(|f| f.1 / means.product_flops.max(1.0));
    match method {
        Method::Auto if products.is_some_and(|p| p <= 1.0) => return exact(l, form.map_or(0.0, |f| f.1)),
        Method::Auto if l.total <= SMALL.min(a.max_matvecs) => dense(means, l),
        Method::Dense => dense(means, l),
        Method::Auto if !by_trajectories => return trace(a, means, l, Method::Xnystrace, m),
        Method::Auto => match (form, products) {
            (Some(form), Some(p)) if p <= l.block.min(m) as f64 => return exact(l, form.1),
            _ => return trace(a, means, l, Method::PerTrajectoryXnystrace, m),
        },
        Method::Exact => return exact(l, form.map_or(0.0, |f| f.1)),
        Method::PerTrajectory => each_block(m, l.block, |b| {
            l.draw(b);
            l.apply(&means.blocks, b, 1.0);
            l.sum(3);
            l.may_stop();
        }),
        Method::PerTrajectoryXnystrace => {
            let full = estimate::largest_sketch(l.total, means.sizes[1] * means.sizes[2]);
            let mut there = 0;
            for total in estimate::sketch_sizes(l.block, m) {
                l.extend(&means.blocks, there, total);
                (there / full..total.div_ceil(full)).for_each(|i| l.ladder(full.min(total - i * full)));
                there = total;
                l.may_stop();
            }
        }
        Method::Xnystrace => {
            let mut there = 0;
            for total in estimate::sketch_sizes(l.block, m.min(l.total)) {
                l.extend(&means.whole, there, total);
                nystrom(l, there, total);
                there = total;
                l.may_stop();
            }
        }
        Method::Nystrompp => {
            let (mut there, mut tests) = (0, 0);
            for total in estimate::sketch_sizes(l.block, m.min(2 * l.total)) {
                let k = (total / 2).min(l.total);
                l.extend(&means.whole, there, k);
                l.test(&means.whole, tests, total - k);
                l.dots(total - k);
                nystrom(l, there, k);
                l.gram(k, total - k);
                (there, tests) = (k, total - k);
                l.may_stop();
            }
        }
        Method::Xtrace => {
            let mut there = 0;
            for total in estimate::sketch_sizes(l.block, m.min(2 * l.total)) {
                let k = (total / 2).max(1).min(l.total);
                range(means, l, there, k);
                l.symmetric_gram(k, 0);
                l.gram(k, k);
                (0..2).for_each(|_| l.dots(k));
                there = k;
                l.may_stop();
            }
        }
        Method::Hutchpp => {
            let (mut there, mut tests) = (0, 0);
            for total in estimate::sketch_sizes(l.block, m.min(3 * l.total)) {
                let k = (total / 3).min(l.total);
                range(means, l, there, k);
                l.symmetric_gram(k, 0);
                l.test(&means.whole, tests, total - 2 * k);
                (there, tests) = (k, total - 2 * k);
                (0..2).for_each(|_| l.gram(k, tests));
                l.dots(tests);
                l.may_stop();
            }
        }
        Method::OneSided => one_sided(a, means, l),
        _ => samples(means, l, m, 1),
    }
    match method {
        Method::Auto => Method::Dense,
        other => other,
    }
}

/// The Gram matrices of a sketch that grows, and its factors.
pub(super) fn nystrom(l: &mut Ledger<'_>, there: usize, total: usize) {
    l.dots(total);
    (0..2).for_each(|_| l.symmetric_gram(total, there));
    l.whiten(total);
    l.small(20.0 * (total as f64).powi(3));
}

/// `Range::extend`.
fn range(means: &Means, l: &mut Ledger<'_>, there: usize, k: usize) {
    let more = k.saturating_sub(there);
    if more > 0 {
        l.extend(&means.whole, there, k);
        l.dots(more);
        l.orthogonalise(there, 1, more);
        l.apply(&means.whole, more, 1.0);
        l.append(there, k);
    }
}

fn frobenius(a: &Analysis, means: &Means, l: &mut Ledger<'_>, m: usize) -> Method {
    let form = means.exact_frobenius.filter(|_| a.operator == Operator::Parameter && a.part.is_all());
    let affordable = a.max_matvecs as f64 * means.product_flops;
    match a.method {
        Method::Auto if form.is_some_and(|f| f <= affordable) => {}
        Method::Exact => {}
        Method::Auto if l.total <= SMALL.min(a.max_matvecs) => {
            dense(means, l);
            return Method::Dense;
        }
        Method::Auto | Method::Hutchpp => {
            let (mut there, mut tests) = (0, 0);
            for total in estimate::sketch_sizes(l.block, m) {
                let k = (total / 4).min(128).min(l.total);
                range(means, l, there, k);
                l.dots(k);
                l.test(&means.whole, tests, total - 2 * k);
                (there, tests) = (k, total - 2 * k);
                l.gram(k, tests);
                l.copy(tests);
                l.combine(k, tests);
                l.dots(tests);
                l.may_stop();
            }
            return Method::Hutchpp;
        }
        Method::Dense => {
            dense(means, l);
            return Method::Dense;
        }
        Method::OneSided => {
            one_sided(a, means, l);
            return Method::OneSided;
        }
        method => {
            samples(means, l, m, 1);
            return method;
        }
    }
    l.gather(means.features);
    l.pairs(form.unwrap_or(0.0), means.sizes[1]);
    Method::Exact
}

pub(super) fn one_sided(a: &Analysis, means: &Means, l: &mut Ledger<'_>) {
    let pairs = a.quantity != Quantity::Trace;
    let mut done = 0;
    each_block(2 * a.max_matvecs, l.block, |b| {
        let back = Product { exchange: if a.forward { Default::default() } else { means.back.exchange }, ..means.back };
        l.apply(&back, b, 0.5);
        if a.forward || !means.replicated {
            l.dots(b);
        }
        if pairs {
            // Inner products with all of the group so far, which every rank has where they are changes of the weights.
            let group = done % 256 + b;
            if a.forward || !means.replicated {
                l.sum(group * b);
            }
            l.work((2 * b * means.out) as f64 * group as f64);
        }
        done += b;
        l.may_stop();
    });
}

fn dense(means: &Means, l: &mut Ledger<'_>) {
    let n = l.total.min(estimate::DENSE_LIMIT);
    l.apply(&means.whole, n, 1.0);
    l.gather(means.n * n * 8);
    l.small(10.0 * (n as f64).powi(3));
}
