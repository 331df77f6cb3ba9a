//! Orthogonalisation of blocks of every condition.

use super::qr::orthogonalise;
use super::tests::hidden;
use super::*;
use kpflow_core::machine::Portable;
use kpflow_core::operator::Identity;
use kpflow_core::Scalar;
use kpflow_core::Shape;

const SHAPE: Shape = Shape::new(3, 4, 25);

/// 12 vectors of singular values from 1 down to 1/condition, in bases that no coordinate knows of.
fn block<T: Scalar>(singular: &[f64]) -> Tall<T> {
    let m = singular.len();
    let (u, v) = (
        hidden(&vec![1.0; 300].iter().enumerate().map(|(i, x)| x + i as f64).collect::<Vec<_>>()),
        hidden(&(0..m).map(|i| i as f64).collect::<Vec<_>>()),
    );
    let (u, v) = (symmetric_eigen(&u, 300).1, symmetric_eigen(&v, m).1);
    let mut w = Tall::zeros(SHAPE, m);
    for (b, j, i) in (0..3).flat_map(|b| (0..m).flat_map(move |j| (0..100).map(move |i| (b, j, i)))) {
        let x: f64 = (0..m).map(|k| u[k * 300 + b * 100 + i] * singular[k] * v[k * m + j]).sum();
        w.part_mut(b, j)[i] = T::of(x);
    }
    w
}

/// The rank that is found, ‖QᵀQ − I‖ and ‖W − QR‖ over the largest singular value.
fn check<T: Scalar>(w: &Tall<T>, size: f64) -> (usize, f64, f64) {
    let engine = Portable;
    let op = Identity(SHAPE);
    let problem = Problem::<T>::new(&op, &engine, (0, 3), 1, 4, &|_, _, _| ());
    let o = orthogonalise(&problem, &[], w.clone(), size, 0.0).unwrap();
    let rank = o.q.vectors;
    let g = problem.gram(&o.q, &o.q).unwrap();
    let off = (0..rank * rank).map(|i| (g[i] - f64::from(u8::from(i / rank == i % rank))).abs()).fold(0.0, f64::max);
    let mut rest = w.clone();
    rest.add_product(-1.0, &o.q, &o.r, &engine);
    let left = problem.dots(&rest, &rest).unwrap().into_iter().fold(0.0, f64::max).sqrt() / size;
    (rank, off, left)
}

#[test]
fn every_condition_number() {
    for condition in [1.0, 1e4, 1e8, 1e11] {
        let singular: Vec<f64> = (0..12).map(|i| f64::powf(condition, -(i as f64) / 11.0)).collect();
        let (rank, off, left) = check(&block::<f64>(&singular), 1.0);
        assert!(rank == 12 && off < 1e-13 && left < 1e-14, "{condition}: rank {rank}, {off:e}, {left:e}");
    }
    // Beyond what double precision knows, what is dropped is rounding.
    let singular: Vec<f64> = (0..12).map(|i| f64::powf(1e15, -(i as f64) / 11.0)).collect();
    let (rank, off, left) = check(&block::<f64>(&singular), 1.0);
    assert!((10..=12).contains(&rank) && off < 1e-13 && left < 1e-12, "rank {rank}, {off:e}, {left:e}");
    for condition in [1.0, 1e2, 1e3] {
        let singular: Vec<f64> = (0..12).map(|i| f64::powf(condition, -(i as f64) / 11.0)).collect();
        let (rank, off, left) = check(&block::<f32>(&singular), 1.0);
        assert!(
            rank == 12 && off < 1e-5 && left < 1e-5,
            "{condition} in single precision: rank {rank}, {off:e}, {left:e}"
        );
    }
}

#[test]
fn exact_rank_deficiency_and_zero_columns() {
    let singular: Vec<f64> = (0..12).map(|i| if i < 5 { 1.0 } else { 0.0 }).collect();
    let (rank, off, left) = check(&block::<f64>(&singular), 1.0);
    assert!(rank == 5 && off < 1e-13 && left < 1e-13, "rank {rank}, {off:e}, {left:e}");
    let mut w = block::<f64>(&[1.0; 12]);
    for b in 0..3 {
        w.part_mut(b, 3).fill(0.0);
        let twin = w.part(b, 7).to_vec();
        w.part_mut(b, 8).copy_from_slice(&twin);
    }
    let (rank, off, left) = check(&w, 1.0);
    assert!(rank == 10 && off < 1e-13 && left < 1e-13, "rank {rank}, {off:e}, {left:e}");
    assert_eq!(check(&Tall::<f64>::zeros(SHAPE, 4), 1.0).0, 0);
}

#[test]
fn halves_of_tall_products() {
    let engine = Portable;
    let m = 300;
    let mut x = Tall::<f64>::zeros(SHAPE, m);
    x.data.iter_mut().enumerate().for_each(|(i, x)| *x = ((i * 37 % 101) as f64 - 50.0) / 50.0);
    let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-11);
    // Of a symmetric matrix the columns from some on, on and off the panels' edges.
    for from in [0, 1, 128, 200, 299, 300] {
        let (half, all) = (x.local_symmetric_gram(&x, from, &engine), x.local_gram(0..m, &x, from..m, &engine));
        assert!(half.len() == m * (m - from) && near(&half, &all), "{from}");
    }
    // Triangles, full ones and zeros.
    let shapes: [fn(usize, usize) -> bool; 4] = [|i, j| i <= j, |i, j| i >= j, |_, _| true, |_, _| false];
    for (shape, there) in shapes.iter().enumerate() {
        let c: Vec<f64> = (0..m * m).map(|i| if there(i / m, i % m) { (i % 7) as f64 - 3.0 } else { 0.0 }).collect();
        let y = x.product(&c, m, &engine);
        for (b, j, i) in [(0, 0, 0), (1, 127, 3), (2, 128, 99), (0, 299, 50)] {
            let sum: f64 = (0..m).map(|v| x.part(b, v)[i] * c[v * m + j]).sum();
            assert!((y.part(b, j)[i] - sum).abs() < 1e-10, "{shape}: {b} {j} {i}");
        }
    }
}
