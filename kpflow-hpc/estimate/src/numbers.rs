//! The verbs with numbers.

use crate::factor::{columns, triangle_of_all};
use crate::parts;
use crate::problem::Problem;
use crate::sampling::sketch_sizes;
use crate::space::{Blank, Budget, Family, Small, Space};
use crate::split::Split;
use crate::whitener::Whitener;
use crate::whitening::gram_whitened;
use crate::workers::Workers;
use crate::{Result, Tall};
use faer::Mat;
use kpflow_core::operator::Properties;
use kpflow_core::{Scalar, Shape};
use std::ops::Range;

impl<T: Scalar, M: Workers<T>> Space for Problem<'_, T, M> {
    type Block = Tall<T>;
    type Machine = M;
    type Held = ();

    fn shape(&self) -> Shape {
        self.product.domain()
    }
    fn trajectories(&self) -> usize {
        self.trajectories
    }
    fn len(&self) -> usize {
        self.extent().of_all(self.trajectories)
    }
    fn properties(&self) -> Properties {
        self.told.unwrap_or_else(|| self.product.properties())
    }
    fn is_told_in_full(&self) -> bool {
        self.told.is_some() || self.product.is_told_in_full()
    }
    fn block(&self) -> usize {
        self.block
    }
    fn matvecs(&self) -> usize {
        self.matvecs.get()
    }
    fn looks(&self, most: usize) -> Vec<usize> {
        match self.looks {
            [] => sketch_sizes(self.block, most).collect(),
            looks => looks.iter().copied().filter(|&l| l < most).chain((most > 0).then_some(most)).collect(),
        }
    }
    fn epsilon(&self) -> f64 {
        T::epsilon().f64()
    }
    fn tell(&self, value: f64, standard_error: f64) {
        (self.progress)(self.matvecs(), value, standard_error);
    }
    fn may_stop(&self, _: &Budget, time: bool) -> bool {
        time
    }
    fn perhaps<R>(&self, _: impl FnOnce() -> Result<R>) -> Result<()> {
        Ok(())
    }
    fn unknown(&self, _: usize) -> usize {
        0
    }

    fn zeros(&self, vectors: usize) -> Tall<T> {
        Tall::zeros(self.shape(), vectors)
    }

    fn draw(&self, family: Family, first: usize, vectors: usize) -> Tall<T> {
        self.probes(family.distribution, family.stream, first, vectors)
    }

    fn apply(&self, x: &Tall<T>) -> Result<Tall<T>> {
        self.matvecs.set(self.matvecs.get() + x.vectors);
        let mut y = Tall::zeros(self.product.codomain(), x.vectors);
        // A block at a time: what is written down is not more than a block behind.
        for first in (0..x.vectors).step_by(self.block) {
            let columns = first..(first + self.block).min(x.vectors);
            let left = x.vectors - columns.end;
            self.product.apply(x, columns, &mut y)?;
            // All products that were begun but those that are left.
            (self.progress)(self.matvecs().saturating_sub(left), f64::NAN, f64::NAN);
        }
        let mut left = self.exponent;
        while left != 0 {
            // A factor that the precision holds.
            let step = left.clamp(-100, 100);
            self.scale(&mut y, &[f64::from(-step).exp2()]);
            left -= step;
        }
        Ok(y)
    }

    fn dots(&self, x: &Tall<T>, y: &Tall<T>) -> Result<Vec<f64>> {
        if x.vectors == 0 {
            return Ok(Vec::new());
        }
        self.recall(x.vectors, || {
            let mut sums = self.local_dots(x, y);
            self.sums.sum(&mut sums);
            sums
        })
    }

    fn gram(&self, x: &Tall<T>, y: &Tall<T>) -> Result<Vec<f64>> {
        self.recall(x.vectors * y.vectors, || {
            let mut g = x.local_gram(0..x.vectors, y, 0..y.vectors, self.machine);
            self.sums.sum(&mut g);
            g
        })
    }

    fn image_dots(&self, x: &Tall<T>, y: &Tall<T>) -> Result<Vec<f64>> {
        match self.replicated {
            true => Ok(self.local_dots(x, y)),
            false => self.dots(x, y),
        }
    }

    fn image_gram(&self, x: &Tall<T>, y: &Tall<T>) -> Result<Vec<f64>> {
        match self.replicated {
            true => Ok(x.local_gram(0..x.vectors, y, 0..y.vectors, self.machine)),
            false => self.gram(x, y),
        }
    }

    fn symmetric_gram(&self, x: &Tall<T>, y: &Tall<T>, from: usize) -> Result<Vec<f64>> {
        let m = y.vectors;
        self.recall(m * (m - from), || {
            let mut g = x.local_symmetric_gram(y, from, self.machine);
            self.sums.sum(&mut g);
            g
        })
    }

    fn symmetric_gram_of_doubles(&self, x: &Tall<T>, y: &Tall<T>) -> Result<Vec<f64>> {
        let (x, y) = (x.doubles(), y.doubles());
        self.recall(y.vectors * y.vectors, || {
            let mut g = x.local_symmetric_gram(&y, 0, self.machine);
            self.sums.sum(&mut g);
            g
        })
    }

    fn gram_whitened(&self, y: &Tall<T>, shifted: (f64, &Tall<T>), whitener: Option<&Whitener>) -> Result<Mat<f64>> {
        whitener.map_or_else(|| Ok(Mat::new()), |whitener| gram_whitened(self, y, shifted, whitener))
    }

    fn triangle(&self, x: &Tall<T>) -> Result<Mat<f64>> {
        triangle_of_all(self, x)
    }

    fn sum(&self, numbers: &mut [f64]) {
        self.sums.sum(numbers);
    }

    fn columns(&self, x: &Tall<T>, range: Range<usize>) -> Tall<T> {
        x.columns(range, self.machine)
    }
    fn copy(&self, x: &Tall<T>) -> Tall<T> {
        x.clone()
    }
    fn append(&self, x: &mut Tall<T>, more: Tall<T>) {
        x.append(more, self.machine);
    }
    fn product(&self, x: &Tall<T>, c: &[f64], columns: usize) -> Tall<T> {
        x.product(c, columns, self.machine)
    }
    fn add_product(&self, y: &mut Tall<T>, alpha: f64, x: &Tall<T>, c: &[f64]) {
        y.add_product(alpha, x, c, self.machine);
    }

    fn scale(&self, x: &mut Tall<T>, factors: &[f64]) {
        let m = factors.len();
        self.each_part(x, |i, part| {
            let f = T::of(factors[i % m]);
            part.iter_mut().for_each(|x| *x *= f);
        });
    }

    fn subtract(&self, y: &mut Tall<T>, c: &[f64], x: &Tall<T>) {
        let (n, m) = (y.shape.per_trajectory(), y.vectors);
        self.each_part(y, |i, part| {
            let c = T::of(c[i % m]);
            part.iter_mut().zip(&x.data[i * n..]).for_each(|(y, x)| *y -= c * *x);
        });
    }

    fn reduce(&self, x: &Tall<T>, y: &Tall<T>, power: i32) -> Tall<T> {
        let mut out = Tall::zeros(x.shape, 1);
        let (n, m) = (x.shape.per_trajectory(), x.vectors);
        self.machine.for_each(x.shape.trajectories, &mut out.data, n, &mut [], 0, |b, out, _: &mut [T]| {
            // Sums go on in double precision.
            let mut sums = vec![0.0; n];
            for v in 0..m {
                let pairs = x.part(b, v).iter().zip(y.part(b, v));
                sums.iter_mut().zip(pairs).for_each(|(s, (x, y))| *s += (x.f64() * y.f64()).powi(power));
            }
            out.iter_mut().zip(&sums).for_each(|(o, s)| *o = T::of(*s));
        });
        out
    }

    fn map(&self, blocks: &[&Tall<T>], f: impl Fn(&[f64]) -> f64 + Sync) -> Tall<T> {
        let Some(first) = blocks.first() else { return self.zeros(0) };
        let mut out = Tall::zeros(first.shape, first.vectors);
        let (n, m, start, extent) = (first.shape.per_trajectory(), first.vectors, self.first, self.extent());
        self.each_part(&mut out, |i, part| {
            let mut numbers = vec![0.0; blocks.len()];
            for (j, out) in part.iter_mut().take(extent.of(start + i / m)).enumerate() {
                numbers.iter_mut().zip(blocks).for_each(|(x, block)| *x = block.data[i * n + j].f64());
                *out = T::of(f(&numbers));
            }
        });
        out
    }

    fn shifted(&self, y: &Tall<T>, shift: f64, x: &Tall<T>) -> Tall<T> {
        let mut y = y.clone();
        let shift = T::of(shift);
        y.data.iter_mut().zip(&x.data).for_each(|(y, x)| *y += shift * *x);
        y
    }

    fn dots_by_trajectory(&self, x: &Tall<T>, y: &Tall<T>) -> Vec<f64> {
        let (m, n) = (x.vectors, x.shape.per_trajectory());
        let mut parts = vec![0.0; x.shape.trajectories * m];
        self.machine.for_each(parts.len(), &mut parts, 1, &mut [], 0, |i, part, _: &mut [f64]| {
            let (x, y) = (&x.data[i * n..][..n], &y.data[i * n..][..n]);
            part[0] = x.iter().zip(y).map(|(a, b)| a.f64() * b.f64()).sum();
        });
        parts
    }

    fn by_trajectory<const K: usize>(
        &self,
        x: &Tall<T>,
        y: &Tall<T>,
        _: Small,
        f: impl Fn(&M, Mat<f64>, Mat<f64>) -> [f64; K] + Sync,
    ) -> [f64; K] {
        let count = self.shape().trajectories;
        let mut out = vec![0.0f64; K * count];
        let (machine, first, extent) = (self.machine, self.first, self.extent());
        machine.for_each(count, &mut out, K, &mut [], 0, |b, out, _: &mut [f64]| {
            // More vectors than there are numbers say nothing more of them.
            let numbers = extent.of(first + b);
            if numbers > 0 {
                let own = |x: &Tall<T>| columns(x, b).get(..numbers, ..x.vectors.min(numbers)).to_owned();
                out.copy_from_slice(&f(machine, own(x), own(y)));
            }
        });
        let mut sums = [0.0; K];
        out.chunks(K).for_each(|o| sums.iter_mut().zip(o).for_each(|(s, x)| *s += x));
        self.sums.sum(&mut sums);
        sums
    }

    fn draw_part(&self, family: Family, vectors: Range<usize>, part_of: &[usize], part: usize) -> Tall<T> {
        let mut x = self.draw(family, vectors.start, vectors.len());
        let n = part_of.len();
        x.data.iter_mut().enumerate().filter(|(i, _)| part_of[i % n] != part).for_each(|(_, x)| *x = T::zero());
        x
    }

    fn energies(&self, x: &Tall<T>, y: &Tall<T>, part_of: &[usize], parts: usize) -> Vec<f64> {
        let (m, n) = (x.vectors, part_of.len());
        let mut sums = vec![0.0; m * (parts + 1)];
        for (row, (x, y)) in x.data.chunks(n).zip(y.data.chunks(n)).enumerate() {
            let sums = &mut sums[row % m * (parts + 1)..][..parts + 1];
            for ((x, y), &b) in x.iter().zip(y).zip(part_of) {
                sums[b] += y.f64() * y.f64();
                sums[parts] += x.f64() * y.f64();
            }
        }
        self.sums.sum(&mut sums);
        sums
    }

    fn places(&self) -> Vec<usize> {
        self.extent().places(self.trajectories).collect()
    }

    fn units(&self, places: &[usize]) -> Tall<T> {
        let (per, m) = (self.shape().per_trajectory(), places.len());
        let mut x = self.zeros(m);
        for (v, place) in places.iter().enumerate() {
            let b = (place / per).wrapping_sub(self.first);
            if b < x.shape.trajectories {
                x.data[(b * m + v) * per + place % per] = T::one();
            }
        }
        x
    }

    fn keep_rows(&self, rows: &mut Vec<f64>, from: usize, y: &Tall<T>) {
        let (places, per) = (self.places(), y.shape.per_trajectory());
        let (n, own) = (places.len(), self.own(&places));
        rows.resize(own.len() * n, 0.0);
        for (place, row) in places[own].iter().zip(rows.chunks_mut(n.max(1))) {
            let b = place / per - self.first;
            (0..y.vectors).for_each(|v| row[from + v] = y.part(b, v)[place % per].f64());
        }
    }

    fn gather_rows(&self, rows: Vec<f64>) -> Vec<f64> {
        let places = self.places();
        let n = places.len();
        let mut all = vec![0.0; n * n];
        self.sums.gather(&rows, self.own(&places).start * n, &mut all);
        all
    }

    fn numbers(&self, x: &Tall<T>, held: bool) -> Vec<f64> {
        let (places, per) = (self.places(), x.shape.per_trajectory());
        let own = self.own(&places);
        let first = self.first;
        let at = |place: usize, v: usize| x.part(place / per - first, v)[place % per].f64();
        let own_places = places[own.clone()].iter();
        let mine: Vec<f64> = own_places.flat_map(|p| (0..x.vectors).map(move |v| at(*p, v))).collect();
        if held {
            return mine;
        }
        let mut all = vec![0.0; places.len() * x.vectors];
        self.sums.gather(&mine, own.start * x.vectors, &mut all);
        all
    }

    fn at_places(&self, columns: &[f64], places: &[usize], vectors: usize) -> Tall<T> {
        let (per, n) = (self.shape().per_trajectory(), places.len());
        let mut out = self.zeros(vectors);
        for (i, place) in places.iter().enumerate() {
            let b = (place / per).wrapping_sub(self.first);
            for v in 0..if b < out.shape.trajectories { vectors } else { 0 } {
                out.data[(b * vectors + v) * per + place % per] = T::of(columns[v * n + i]);
            }
        }
        out
    }

    fn contract(&self, split: &Split, first: usize, x: &Tall<T>, y: &Tall<T>) -> Vec<f64> {
        split.contract(self, first, x, y)
    }
    fn contract_pairs(&self, split: &Split, x: &Tall<T>, y: &Tall<T>) -> Vec<f64> {
        split.contract_pairs(self, x, y)
    }
    fn orthonormal_parts(&self, q: &Tall<T>, y: Tall<T>) -> Tall<T> {
        parts::orthonormal(self.machine, q, y)
    }
    fn subtract_parts(&self, y: &mut Tall<T>, z: &Tall<T>, q: &Tall<T>, x: &Tall<T>) {
        parts::subtract(self.machine, y, z, q, x);
    }
    fn signs(&self, split: &Split, first: usize) -> Vec<f64> {
        split.signs(self, first)
    }
    fn structured(&self, split: &Split, signs: &[f64], kept: Range<usize>) -> Tall<T> {
        split.structured(self, signs, kept)
    }
    fn contract_columns(&self, split: &Split, signs: &[f64], y: &Tall<T>) -> Vec<f64> {
        split.contract_columns(self, signs, y)
    }

    fn small<R: Blank>(&self, _: Small, solve: impl FnOnce(&M) -> Result<R>) -> Result<R> {
        solve(self.machine)
    }
    fn hold(&self, _: usize) {}
}
