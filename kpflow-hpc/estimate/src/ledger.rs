//! The space where there are sizes and no numbers: what an estimate will need, told by the estimator itself.

use crate::account::{Account, Costs, Held, Outline, Rounds, Sizes, Work};
use crate::factor::groups;
use crate::sampling::sketch_sizes;
use crate::space::{Blank, Budget, Family, Small, Space, TESTS};
use crate::split::Split;
use crate::whitener::Whitener;
use crate::whitening::{shares, CHUNK};
use crate::{tall, Result};
use faer::Mat;
use kpflow_core::machine::Portable;
use kpflow_core::operator::Properties;
use kpflow_core::Shape;
use std::cell::{Cell, RefCell};
use std::ops::Range;

/// Numbers of which a sum over processes makes a copy, at most: longer sums go through memory that they share.
const COPIED: usize = 1 << 16;

/// A space of sizes. An estimator that is given it goes all the way to its budget, on the costliest path where only numbers would tell, and is told of
/// nothing: what it would spend and hold is in [`Costs`] and [`Account`].
pub struct Ledger<'s, 'a> {
    outline: Outline<'s>,
    account: &'a Account,
    costs: &'s dyn Costs,
    matvecs: Cell<usize>,
    /// What products hold, as much as the widest so far.
    products: RefCell<Option<Held<'a>>>,
    /// What rounds that were skipped hold.
    skipped: RefCell<Vec<Held<'a>>>,
    /// Whether only memory counts.
    quiet: Cell<bool>,
}

impl<'s, 'a> Ledger<'s, 'a> {
    /// Makes a ledger; nothing is spent yet.
    pub fn new(outline: Outline<'s>, account: &'a Account, costs: &'s dyn Costs) -> Self {
        let products = RefCell::default();
        let (matvecs, quiet) = (Cell::new(0), Cell::new(false));
        Self { outline, account, costs, matvecs, products, skipped: RefCell::default(), quiet }
    }

    fn spend(&self, work: Work) {
        if !self.quiet.get() {
            self.costs.spend(work);
        }
    }

    fn block_of(&self, shape: Shape, vectors: usize) -> Sizes<'a> {
        Sizes::new(shape, vectors, self.outline.number, self.account)
    }

    /// Numbers in double precision, for a moment.
    fn pass(&self, doubles: usize) {
        self.account.pass(doubles.saturating_mul(8));
    }

    fn sum_of(&self, numbers: usize) {
        if self.outline.processes > 1 {
            self.pass(numbers.min(COPIED));
        }
        self.spend(Work::Sum { numbers });
    }

    fn tall(&self, rows: usize, x: usize, y: usize) {
        self.spend(Work::Tall { flops: 2.0 * (rows * x) as f64 * y as f64 });
    }

    fn gram_of(&self, x: &Sizes<'_>, y: &Sizes<'_>) -> Result<Vec<f64>> {
        self.pass(tall::gram_len(x.shape, x.vectors, y.vectors, self.outline.lanes));
        self.tall(x.shape.len(), x.vectors, y.vectors);
        Ok(Vec::new())
    }
}

impl<'a> Space for Ledger<'_, 'a> {
    type Block = Sizes<'a>;
    type Machine = Portable;
    type Held = Held<'a>;

    fn shape(&self) -> Shape {
        self.outline.domain
    }
    fn trajectories(&self) -> usize {
        self.outline.trajectories
    }
    fn len(&self) -> usize {
        self.outline.len
    }
    fn properties(&self) -> Properties {
        self.outline.properties
    }
    fn is_told_in_full(&self) -> bool {
        self.outline.told_in_full
    }
    fn block(&self) -> usize {
        self.outline.block
    }
    fn matvecs(&self) -> usize {
        self.matvecs.get()
    }
    fn looks(&self, most: usize) -> Vec<usize> {
        match self.outline.looks {
            [] => sketch_sizes(self.outline.block, most).collect(),
            looks => looks.iter().copied().filter(|&l| l < most).chain((most > 0).then_some(most)).collect(),
        }
    }
    fn epsilon(&self) -> f64 {
        if self.outline.number == 4 {
            f64::from(f32::EPSILON)
        } else {
            f64::EPSILON
        }
    }
    fn tell(&self, _: f64, _: f64) {}
    fn may_stop(&self, budget: &Budget, _: bool) -> bool {
        self.costs.may_stop();
        if !self.quiet.get() {
            let Rounds { matvecs, bytes } = self.costs.skip(self.matvecs.get(), budget.max_matvecs, self.account.now());
            self.matvecs.set(self.matvecs.get() + matvecs);
            if bytes > 0 {
                self.skipped.borrow_mut().push(self.account.hold(bytes));
            }
        }
        false
    }
    fn perhaps<R>(&self, run: impl FnOnce() -> Result<R>) -> Result<()> {
        let before = (self.quiet.replace(true), self.matvecs.get());
        let done = run().map(drop);
        self.quiet.set(before.0);
        self.matvecs.set(before.1);
        done
    }
    fn unknown(&self, most: usize) -> usize {
        most
    }

    fn zeros(&self, vectors: usize) -> Sizes<'a> {
        self.block_of(self.outline.domain, vectors)
    }

    fn draw(&self, family: Family, _: usize, vectors: usize) -> Sizes<'a> {
        let numbers = self.outline.domain.len() * vectors;
        self.spend(Work::Draw { numbers, distribution: family.distribution });
        self.zeros(vectors)
    }

    fn apply(&self, x: &Sizes<'a>) -> Result<Sizes<'a>> {
        let m = x.vectors;
        self.matvecs.set(self.matvecs.get() + m);
        let y = self.block_of(self.outline.codomain, m);
        self.spend(Work::Begin { vectors: m });
        for first in (0..m).step_by(self.outline.block) {
            let vectors = self.outline.block.min(m - first);
            self.spend(Work::Product { vectors });
            let bytes = self.costs.product_bytes(vectors, m);
            let mut held = self.products.borrow_mut();
            if held.as_ref().is_none_or(|h| h.bytes < bytes) {
                // Memory that grows is new before the old is given back.
                *held = None;
                *held = Some(self.account.hold(bytes));
            }
        }
        Ok(y)
    }

    fn dots(&self, x: &Sizes<'a>, _: &Sizes<'a>) -> Result<Vec<f64>> {
        self.sum_of(x.vectors);
        self.spend(Work::Pass { numbers: x.shape.len() * x.vectors });
        Ok(vec![0.0; x.vectors])
    }
    fn gram(&self, x: &Sizes<'a>, y: &Sizes<'a>) -> Result<Vec<f64>> {
        self.sum_of(x.vectors * y.vectors);
        self.gram_of(x, y)
    }
    fn image_dots(&self, x: &Sizes<'a>, y: &Sizes<'a>) -> Result<Vec<f64>> {
        match self.outline.replicated {
            true => {
                self.spend(Work::Pass { numbers: x.shape.len() * x.vectors });
                Ok(vec![0.0; x.vectors])
            }
            false => self.dots(x, y),
        }
    }
    fn image_gram(&self, x: &Sizes<'a>, y: &Sizes<'a>) -> Result<Vec<f64>> {
        match self.outline.replicated {
            true => self.gram_of(x, y),
            false => self.gram(x, y),
        }
    }
    fn symmetric_gram(&self, x: &Sizes<'a>, y: &Sizes<'a>, from: usize) -> Result<Vec<f64>> {
        let m = y.vectors;
        let more = m.saturating_sub(from);
        self.sum_of(m * more);
        self.pass(tall::gram_len(x.shape, m, more, self.outline.lanes));
        // In panels of 128, each from the diagonal on.
        let share = from as f64 + 0.5 * (more + 128).min(2 * more) as f64;
        self.spend(Work::Tall { flops: 2.0 * x.shape.len() as f64 * more as f64 * share });
        Ok(Vec::new())
    }
    fn symmetric_gram_of_doubles(&self, x: &Sizes<'a>, y: &Sizes<'a>) -> Result<Vec<f64>> {
        let _held = self.account.hold(8 * x.shape.len() * (x.vectors + y.vectors));
        self.spend(Work::Copy { numbers: x.shape.len() * (x.vectors + y.vectors) });
        self.symmetric_gram(x, y, 0)
    }

    fn gram_whitened(&self, y: &Sizes<'a>, _: (f64, &Sizes<'a>), _: Option<&Whitener>) -> Result<Mat<f64>> {
        let m = y.vectors;
        self.sum_of(m * m);
        let shares = shares(y.shape, m);
        self.pass((shares + 1) * m * m + self.outline.lanes.min(shares) * 2 * m * CHUNK);
        // Where H is mild, as it often is in double precision, two triangles are not needed; in single precision two full ones are, less what its rank is
        // below m.
        let share = if self.outline.number == 4 { 3.0 } else { 0.5 };
        self.spend(Work::Tall { flops: share * 2.0 * (y.shape.len() * m) as f64 * m as f64 });
        Ok(Mat::new())
    }

    fn triangle(&self, x: &Sizes<'a>) -> Result<Mat<f64>> {
        let m = x.vectors;
        let (group, count) = groups(x.shape, m);
        let rows = group * x.shape.per_trajectory();
        let ranks = self.outline.processes;
        self.pass(count * m * m + self.outline.lanes.min(count) * 3 * rows * m + (ranks + 6) * m * m);
        self.spend(Work::Gather { own: m * m });
        self.spend(Work::Tall { flops: 2.0 * (x.shape.len() * m) as f64 * m as f64 });
        Ok(Mat::new())
    }

    fn sum(&self, numbers: &mut [f64]) {
        self.sum_of(numbers.len());
    }

    fn columns(&self, x: &Sizes<'a>, range: Range<usize>) -> Sizes<'a> {
        self.spend(Work::Append { numbers: x.shape.len() * range.len() });
        self.block_of(x.shape, range.len())
    }
    fn append(&self, x: &mut Sizes<'a>, more: Sizes<'a>) {
        if x.vectors == 0 {
            *x = more;
            return;
        }
        let vectors = x.vectors + more.vectors;
        self.spend(Work::Append { numbers: x.shape.len() * vectors });
        *x = self.block_of(x.shape, vectors);
    }
    fn product(&self, x: &Sizes<'a>, _: &[f64], columns: usize) -> Sizes<'a> {
        self.tall(x.shape.len(), x.vectors, columns);
        self.account.pass(x.vectors * columns * self.outline.number);
        self.block_of(x.shape, columns)
    }
    fn add_product(&self, y: &mut Sizes<'a>, _: f64, x: &Sizes<'a>, _: &[f64]) {
        self.tall(x.shape.len(), x.vectors, y.vectors);
        self.account.pass(x.vectors * y.vectors * self.outline.number);
    }
    fn scale(&self, x: &mut Sizes<'a>, _: &[f64]) {
        self.spend(Work::Pass { numbers: x.shape.len() * x.vectors });
    }
    fn subtract(&self, y: &mut Sizes<'a>, _: &[f64], x: &Sizes<'a>) {
        self.spend(Work::Pass { numbers: x.shape.len() * y.vectors });
    }
    fn reduce(&self, x: &Sizes<'a>, _: &Sizes<'a>, _: i32) -> Sizes<'a> {
        self.spend(Work::Pass { numbers: x.shape.len() * x.vectors });
        self.pass(self.outline.lanes.min(x.shape.trajectories) * x.shape.per_trajectory());
        self.block_of(x.shape, 1)
    }
    fn map(&self, blocks: &[&Sizes<'a>], _: impl Fn(&[f64]) -> f64 + Sync) -> Sizes<'a> {
        let Some(first) = blocks.first() else { return self.zeros(0) };
        self.spend(Work::Pass { numbers: first.shape.len() * first.vectors * blocks.len() });
        self.block_of(first.shape, first.vectors)
    }

    fn shifted(&self, y: &Sizes<'a>, _: f64, x: &Sizes<'a>) -> Sizes<'a> {
        let numbers = x.shape.len() * y.vectors;
        self.spend(Work::Copy { numbers });
        self.spend(Work::Loop { numbers });
        self.block_of(x.shape, y.vectors)
    }

    fn dots_by_trajectory(&self, x: &Sizes<'a>, _: &Sizes<'a>) -> Vec<f64> {
        self.spend(Work::Pass { numbers: x.shape.len() * x.vectors });
        vec![0.0; x.shape.trajectories * x.vectors]
    }
    fn by_trajectory<const K: usize>(
        &self,
        x: &Sizes<'a>,
        _: &Sizes<'a>,
        small: Small,
        _: impl Fn(&Portable, Mat<f64>, Mat<f64>) -> [f64; K] + Sync,
    ) -> [f64; K] {
        let count = x.shape.trajectories;
        // Both blocks' columns, of one of them twice while it is cut.
        let columns = 3 * x.shape.per_trajectory() * x.vectors;
        self.pass(self.outline.lanes.min(count) * (columns + small.numbers));
        self.spend(Work::Looks { flops: count as f64 * small.flops });
        self.sum_of(K);
        [0.0; K]
    }

    fn draw_part(&self, family: Family, vectors: Range<usize>, _: &[usize], _: usize) -> Sizes<'a> {
        self.spend(Work::Loop { numbers: self.outline.domain.len() * vectors.len() });
        self.draw(family, vectors.start, vectors.len())
    }
    fn energies(&self, x: &Sizes<'a>, _: &Sizes<'a>, _: &[usize], parts: usize) -> Vec<f64> {
        self.spend(Work::Loop { numbers: 2 * x.shape.len() * x.vectors });
        self.sum_of(x.vectors * (parts + 1));
        vec![0.0; x.vectors * (parts + 1)]
    }
    fn units(&self, places: &[usize]) -> Sizes<'a> {
        self.zeros(places.len())
    }
    fn keep_rows(&self, _: &mut Vec<f64>, _: usize, y: &Sizes<'a>) {
        self.spend(Work::Copy { numbers: y.shape.len() * y.vectors });
    }
    fn gather_rows(&self, _: Vec<f64>) -> Vec<f64> {
        let own = self.outline.domain.len().min(self.outline.len) * self.outline.len;
        self.pass(own);
        self.spend(Work::Gather { own });
        Vec::new()
    }
    fn numbers(&self, x: &Sizes<'a>, held: bool) -> Vec<f64> {
        let (own, all) = (x.shape.len() * x.vectors, self.outline.len * x.vectors);
        self.pass(if held { own } else { own + all });
        self.spend(if held { Work::Copy { numbers: own } } else { Work::Gather { own } });
        Vec::new()
    }
    fn places(&self) -> Vec<usize> {
        (0..self.outline.len).collect()
    }
    fn at_places(&self, _: &[f64], _: &[usize], vectors: usize) -> Sizes<'a> {
        self.zeros(vectors)
    }

    fn contract(&self, split: &Split, _: usize, x: &Sizes<'a>, _: &Sizes<'a>) -> Vec<f64> {
        let (d, rest, m) = (split.count(true), split.count(false), x.vectors);
        let whole = if split.kept[0] { split.shape.len() * self.outline.number } else { 0 };
        let lanes = self.outline.lanes.min(m);
        let _found = self.account.hold(8 * m * d * d);
        self.account.pass(lanes * (16 * rest * d + whole));
        self.spend(Work::Tall { flops: 2.0 * (rest * d) as f64 * (d * m) as f64 });
        // Signs and images find their places.
        self.spend(Work::Loop { numbers: 6 * x.shape.len() * m });
        if split.kept[0] {
            self.spend(Work::Draw { numbers: split.shape.len() * m, distribution: TESTS.distribution });
        }
        self.sum_of(m * d * d);
        Vec::new()
    }
    fn contract_pairs(&self, split: &Split, x: &Sizes<'a>, _: &Sizes<'a>) -> Vec<f64> {
        let (d, rest, m) = (split.count(true), split.count(false), x.vectors);
        let whole = if split.kept[0] { split.shape.len() } else { 0 };
        self.pass(d * d + 2 * rest * d + whole + if split.kept[0] { x.shape.len() } else { 0 });
        self.spend(Work::Tall { flops: 2.0 * (rest * d) as f64 * (d * m) as f64 });
        self.spend(Work::Loop { numbers: 2 * x.shape.len() * m });
        if split.kept[0] {
            (0..m).for_each(|_| self.spend(Work::Gather { own: x.shape.len() }));
        }
        self.sum_of(d * d);
        Vec::new()
    }
    fn orthonormal_parts(&self, q: &Sizes<'a>, y: Sizes<'a>) -> Sizes<'a> {
        let (k, m, n) = (q.vectors, y.vectors, y.shape.per_trajectory());
        self.pass(self.outline.lanes.min(y.shape.trajectories) * (k + m + 1) * n);
        self.tall(2 * y.shape.len(), m, 2 * k + m);
        y
    }
    fn subtract_parts(&self, y: &mut Sizes<'a>, _: &Sizes<'a>, q: &Sizes<'a>, _: &Sizes<'a>) {
        let (k, m) = (q.vectors, y.vectors);
        self.account.pass(self.outline.lanes.min(y.shape.trajectories) * m * k * self.outline.number);
        self.tall(2 * y.shape.len(), m, k);
    }
    fn signs(&self, split: &Split, _: usize) -> Vec<f64> {
        let numbers = if split.kept[0] { split.shape.len() } else { self.outline.domain.len() };
        self.account.pass(numbers * self.outline.number + 8 * split.count(false));
        self.spend(Work::Draw { numbers, distribution: TESTS.distribution });
        Vec::new()
    }
    fn structured(&self, split: &Split, _: &[f64], kept: Range<usize>) -> Sizes<'a> {
        self.pass(2 * split.shape.per_trajectory());
        self.spend(Work::Loop { numbers: 3 * self.outline.domain.len() * kept.len() });
        self.zeros(kept.len())
    }
    fn contract_columns(&self, split: &Split, _: &[f64], y: &Sizes<'a>) -> Vec<f64> {
        self.spend(Work::Loop { numbers: 3 * y.shape.len() * y.vectors });
        vec![0.0; y.vectors * split.count(true)]
    }

    fn small<R: Blank>(&self, small: Small, _: impl FnOnce(&Portable) -> Result<R>) -> Result<R> {
        self.pass(small.numbers);
        self.spend(Work::Small { flops: small.flops });
        Ok(R::blank())
    }
    fn eigen_len(&self, n: usize, vectors: bool) -> usize {
        self.costs.eigen_len(n, vectors)
    }
    fn hold(&self, numbers: usize) -> Held<'a> {
        self.account.hold(8 * numbers)
    }
}
