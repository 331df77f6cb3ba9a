//! What a ledger tells of an estimate is what the estimate takes: products, sums, and memory as the allocator counts it.

use kpflow_core::machine::Portable;
use kpflow_core::{Scalar, Shape};
use kpflow_estimate::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are allocated, and the most so far.
struct Counted;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is the system's.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static MEMORY: Counted = Counted;

const SHAPE: Shape = Shape::new(6, 5, 40);
const N: usize = 1200;
const BLOCK: usize = 8;
/// Far below the operator: it takes the whole budget.
const NOISE: Noise = Noise { variance: 1e-9, exponent: 0, delta: 0.0 };

/// D + uuᵀ with a diagonal D that no sketch is done with, block by block where it is asked for.
struct Slow {
    coupled: bool,
    products: Cell<usize>,
}

impl<T: Scalar> Product<T> for Slow {
    fn domain(&self) -> Shape {
        SHAPE
    }
    fn codomain(&self) -> Shape {
        SHAPE
    }
    fn apply(&self, x: &Tall<T>, columns: Range<usize>, y: &mut Tall<T>) -> Result<()> {
        self.products.set(self.products.get() + columns.len());
        let per = SHAPE.per_trajectory();
        let d = |i: usize| T::of(1.0 / (1.0 + 0.01 * i as f64));
        for v in columns {
            let sum = |b: usize| x.part(b, v).iter().map(|x| x.f64()).sum::<f64>();
            let all: f64 = (0..SHAPE.trajectories).map(sum).sum();
            for b in 0..SHAPE.trajectories {
                let mean = T::of(if self.coupled { all / N as f64 } else { sum(b) / per as f64 });
                let part = x.part(b, v).to_vec();
                let y = y.part_mut(b, v).iter_mut().zip(part).enumerate();
                y.for_each(|(i, (y, x))| *y = d(i) * x + mean);
            }
        }
        Ok(())
    }
}

/// Counts the numbers that are summed.
struct Summed<'a>(&'a Cell<usize>);

impl Sums for Summed<'_> {
    fn sum(&self, numbers: &mut [f64]) {
        self.0.set(self.0.get() + numbers.len());
    }
    fn place(&self) -> (usize, usize) {
        (0, 1)
    }
    fn gather(&self, own: &[f64], _: usize, all: &mut [f64]) {
        all.copy_from_slice(own);
    }
}

#[derive(Default)]
struct Told {
    products: Cell<usize>,
    sums: Cell<usize>,
}

impl Costs for Told {
    fn spend(&self, work: Work) {
        match work {
            Work::Product { vectors } => self.products.set(self.products.get() + vectors),
            Work::Sum { numbers } => self.sums.set(self.sums.get() + numbers),
            Work::Begin { .. }
            | Work::Draw { .. }
            | Work::Gather { .. }
            | Work::Tall { .. }
            | Work::Small { .. }
            | Work::Looks { .. }
            | Work::Pass { .. }
            | Work::Loop { .. }
            | Work::Copy { .. }
            | Work::Append { .. } => {}
        }
    }
    fn product_bytes(&self, _: usize, _: usize) -> usize {
        0
    }
    fn may_stop(&self) {}
}

/// Runs an estimator with numbers and without, and compares.
fn same<T: Scalar>(
    name: &str,
    coupled: bool,
    with: impl Fn(&Problem<'_, T>) -> Result<()>,
    without: impl Fn(&Ledger<'_, '_>) -> Result<()>,
) {
    let (slow, sums) = (Slow { coupled, products: Cell::new(0) }, Cell::new(0));
    let problem = Problem::<T>::of(Box::new(&slow), &Portable, (0, 6), 1, BLOCK, &|_, _, _| ());
    let told_in_full = !coupled;
    let properties = match coupled {
        true => Properties::UNKNOWN,
        false => Properties { symmetric: true, positive_semidefinite: true, block_diagonal: true, rank_bound: N },
    };
    let problem = problem.with_sums(Summed(&sums));
    let problem = if told_in_full { problem.with_properties(properties) } else { problem };
    make_ready();
    symmetric_eigen(&vec![1.0; 200 * 200], 200);
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    with(&problem).unwrap_or_else(|e| panic!("{name}: {e}"));
    let taken = MOST.load(Ordering::Relaxed) - before;
    let (account, told) = (Account::default(), Told::default());
    let outline = Outline {
        domain: SHAPE,
        codomain: SHAPE,
        trajectories: 6,
        len: N,
        block: BLOCK,
        replicated: false,
        looks: &[],
        lanes: 1,
        processes: 1,
        number: std::mem::size_of::<T>(),
        properties,
        told_in_full,
    };
    without(&Ledger::new(outline, &account, &told)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let ratio = account.most() as f64 / taken as f64;
    let bytes = std::mem::size_of::<T>();
    println!(
        "{name} ({bytes}): {} products, {} told; {} sums, {} told; {taken} bytes, {ratio:.3} of them told",
        slow.products.get(),
        told.products.get(),
        sums.get(),
        told.sums.get()
    );
    // Numbers say whether a preconditioner pays, and what rounding leaves to be refined: at most is told.
    let at_most = name.contains("solve");
    // Of five sides those that are solved leave room for the others: less than one step of all.
    let enough = told.products.get() + 4 >= slow.products.get() && at_most;
    assert!(enough || told.products.get() == slow.products.get(), "{name}");
    // Where the core of a sketch is far from singular, fewer Gram matrices are summed than may be.
    let has_core = ["nystr", "log_det", "entropy_rank"].iter().any(|part| name.contains(part));
    let most = if has_core { 2.0 } else { 1.0 };
    let most = if at_most { f64::INFINITY } else { most };
    let (made, said) = (sums.get() as f64, told.sums.get() as f64);
    assert!(
        said >= made && said <= most * made,
        "{name}: {} numbers are summed, {} are told",
        sums.get(),
        told.sums.get()
    );
    // A QR in the place of Gram matrices, which only numbers call for, is told.
    let called_for = if name.contains("deflated_diagonal") { 600_000.0 } else { 0.0 };
    let called_for = if at_most { f64::INFINITY } else { called_for };
    const BESIDE: f64 = 65536.0;
    let (most, taken) = (account.most() as f64, taken as f64);
    assert!(
        most + BESIDE >= taken && most <= 1.1 * taken + BESIDE + called_for,
        "{name} ({bytes}): {taken} bytes are taken, {} are told",
        account.most()
    );
}

macro_rules! estimators {
    ($($name:ident: $coupled:literal, $budget:expr, |$s:ident, $b:ident| $run:expr;)*) => {
        // One after the other: the allocator counts for all.
        #[test]
        fn what_is_told_is_taken() {
            $({
                fn run<S: Space>($s: &S) -> Result<()> {
                    let $b = Budget { rtol: 0.0, max_matvecs: $budget };
                    let _ = $run;
                    Ok(())
                }
                same::<f64>(stringify!($name), $coupled, |s| run(s), |s| run(s));
                same::<f32>(stringify!($name), $coupled, |s| run(s), |s| run(s));
            })*
        }
    };
}

estimators! {
    of_hutchinson: true, 100, |s, b| hutchinson(s, &b)?;
    of_hutchpp: true, 300, |s, b| hutchpp(s, &b)?;
    of_nystrompp: true, 300, |s, b| nystrompp(s, &b)?;
    of_xtrace: true, 300, |s, b| xtrace(s, &b)?;
    of_xnystrace: true, 300, |s, b| xnystrace(s, &b)?;
    of_per_trajectory: false, 100, |s, b| per_trajectory(s, &b)?;
    of_per_trajectory_xnystrace: false, 150, |s, b| per_trajectory_xnystrace(s, &b)?;
    of_frobenius: true, 100, |s, b| frobenius(s, &b)?;
    of_frobenius_deflated: true, 300, |s, b| frobenius_deflated(s, &b)?;
    of_effective_rank: true, 100, |s, b| effective_rank_sampled(s, &b)?;
    of_block_krylov: true, 300, |s, b| block_krylov(s, &b, 10)?;
    of_few_products: true, 20, |s, b| block_krylov(s, &b, 10)?;
    of_density: true, 500, |s, b| density(s, &b, 401)?;
    of_log_det: true, 300, |s, b| log_det(s, &b, (1.0, 0))?;
    of_entropy_rank: true, 300, |s, b| entropy_rank(s, &b)?;
    of_a_marginal_by_signs: false, 100, |s, b| marginal(s, &b, [false, false, true])?;
    of_a_marginal_by_columns: false, 100, |s, b| marginal(s, &b, [false, true, false])?;
    of_a_marginal_by_units: false, 300, |s, b| marginal(s, &b, [false, true, true])?;
    of_a_marginal_of_trajectories: true, 200, |s, b| marginal(s, &b, [true, false, false])?;
    of_pairs: true, 100, |s, b| pair_statistic(s, &b, SecondMoment::Frobenius)?;
    of_a_diagonal: true, 100, |s, b| diagonal(s, &b, false)?;
    of_a_deflated_diagonal: true, 200, |s, b| diagonal(s, &b, true)?;
    of_one_side: true, 100, |s, b| one_sided(s, &b)?;
    of_the_matrix: true, 2000, |s, _b| dense(s, Wanted::Vectors)?.eigenpairs(s, None, 10)?;
    of_the_values: true, 2000, |s, _b| dense(s, Wanted::Values)?;
    of_the_smallest: true, 2000, |s, _b| {
        let chosen = Selection { which: Which::Smallest, count: 10, delta: 0.0 };
        dense(s, Wanted::Vectors)?.eigenpairs(s, None, chosen)?
    };
    of_a_solve: false, 100, |s, b| solve(s, &b, &s.draw(TESTS, 0, 1), NOISE)?;
    of_solves: false, 400, |s, b| solve(s, &b, &s.draw(TESTS, 0, 5), NOISE)?;
    of_plain_solves: false, 100, |s, b| solve_plainly(s, &b, &s.draw(TESTS, 0, 3), NOISE)?;
    of_solves_by_the_matrix: false, 2000, |s, b| {
        let matrix = dense(s, Wanted::Sums)?;
        let _held = s.hold(N * N);
        solve_by(s, None, &matrix, &b, &s.draw(TESTS, 0, 3), NOISE)?
    };
    of_the_sums: true, 2000, |s, _b| dense(s, Wanted::Sums)?;
}
