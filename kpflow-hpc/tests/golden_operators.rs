//! The core's operators against the golden data: every operator on the probes, both sides of K, every tiling.

mod core_forms;

use kpflow_core::machine::Portable;
use kpflow_core::model::{Activation, Cell, GraphBuffer, Linearization, RecurrentWeights};
use kpflow_core::ntk::{
    ntk_traces, ntk_traces_scratch_len, propagator_gram_traces, propagator_gram_traces_scratch_len, Constraint,
    Coupling, Features, KroneckerCore, Ntk, ParameterJacobian, ParameterOperator, Propagator, Side,
};
use kpflow_core::{BlockMut, BlockRef, LinearOperator, Scalar, Shape};
use safetensors::SafeTensors;

struct Golden<T> {
    file: hdf5::File,
    shape: Shape,
    cell: Cell,
    inputs: Vec<T>,
    initial: Option<Vec<T>>,
    n_in: usize,
    weights: [Option<Vec<T>>; 4],
}

fn path(name: &str) -> String {
    format!("{}/../tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn read<T: Scalar>(file: &hdf5::File, name: &str) -> Option<Vec<T>> {
    let data = file.dataset(name).ok()?.read_raw::<f64>().expect(name);
    Some(data.into_iter().map(T::of).collect())
}

fn load<T: Scalar>(name: &str) -> Golden<T> {
    let file = hdf5::File::open(path(&format!("{name}.h5"))).unwrap();
    let text = |a: &str| file.attr(a).unwrap().read_scalar::<hdf5::types::VarLenUnicode>().unwrap().to_string();
    let shape = file.attr("shape").unwrap().read_raw::<i64>().unwrap();
    let options: serde_json::Value = serde_json::from_str(&text("options")).unwrap();
    let activation = match options["activation"].as_str() {
        Some("relu") => Activation::Relu,
        Some("linear") => Activation::Linear,
        _ => Activation::Tanh,
    };
    let cell = match text("kind").as_str() {
        "rnn" => Cell::rnn(activation),
        "leaky_rnn" => Cell::leaky(activation, options["dt"].as_f64().unwrap()),
        "gru" => Cell::gru(),
        "lstm" => Cell::lstm(),
        other => panic!("{other}"),
    };
    let bytes = std::fs::read(path(&format!("{name}.safetensors"))).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let weights = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].map(|n| {
        let t = tensors.tensor(&format!("{n}_l0")).or_else(|_| tensors.tensor(n)).ok()?;
        let wide = t.data().len() == 8 * t.shape().iter().product::<usize>();
        let number = |c: &[u8]| match wide {
            true => T::of(f64::from_le_bytes(c.try_into().unwrap())),
            false => T::of(f32::from_le_bytes(c.try_into().unwrap()).into()),
        };
        Some(t.data().chunks_exact(if wide { 8 } else { 4 }).map(number).collect::<Vec<T>>())
    });
    let shape = Shape::new(shape[0] as usize, shape[1] as usize, shape[2] as usize);
    let inputs: Vec<T> = read(&file, "inputs").unwrap();
    let n_in = inputs.len() / shape.trajectories / shape.steps;
    let initial = read(&file, "initial_state");
    Golden { file, shape, cell, inputs, initial, n_in, weights }
}

impl<T: Scalar> Golden<T> {
    fn linearized<R>(&self, tile: usize, f: impl FnOnce(&Linearization<'_, T>) -> R) -> R {
        let [w_ih, w_hh, b_ih, b_hh] = &self.weights;
        let weights = RecurrentWeights {
            n_in: self.n_in,
            hidden: self.shape.units / self.cell.states(),
            w_ih: w_ih.as_ref().unwrap(),
            w_hh: w_hh.as_ref().unwrap(),
            b_ih: b_ih.as_deref(),
            b_hh: b_hh.as_deref(),
        };
        let mut buffer = GraphBuffer::default();
        let graph = self.cell.graph(weights, self.shape.steps, &mut buffer).unwrap();
        let mut arena = vec![T::zero(); Linearization::arena_len(&graph, self.shape.trajectories)];
        let lin = Linearization::new(
            &graph,
            &[&self.inputs],
            self.initial.as_deref(),
            self.shape.trajectories,
            tile,
            &mut arena,
            &mut vec![T::zero(); Linearization::scratch_len(&graph, self.shape.trajectories, tile, &Portable)],
            &Portable,
        )
        .unwrap();
        f(&lin)
    }

    /// The probes as one block of three vectors, and a reference likewise.
    fn block(&self, name: &str) -> Vec<T> {
        let all: Vec<T> = read(&self.file, name).unwrap_or_else(|| panic!("{name}"));
        reorder(&all, self.shape, true)
    }

    fn scalar(&self, name: &str) -> f64 {
        self.file.dataset(name).unwrap().read_scalar::<f64>().unwrap()
    }
}

/// `[vector][trajectory]…` to `[trajectory][vector]…`, or back.
fn reorder<T: Scalar>(x: &[T], shape: Shape, into: bool) -> Vec<T> {
    let n = shape.per_trajectory();
    let m = x.len() / shape.len();
    let mut y = vec![T::zero(); x.len()];
    for v in 0..m {
        for b in 0..shape.trajectories {
            let (p, q) = ((v * shape.trajectories + b) * n, (b * m + v) * n);
            let (to, from) = if into { (q, p) } else { (p, q) };
            y[to..to + n].copy_from_slice(&x[from..from + n]);
        }
    }
    y
}

fn apply<T: Scalar>(op: &dyn LinearOperator<T>, x: &[T], m: usize, adjoint: bool) -> Vec<T> {
    let (from, to) = if adjoint { (op.codomain(), op.domain()) } else { (op.domain(), op.codomain()) };
    let mut y = vec![T::nan(); m * to.len()];
    let mut scratch = vec![T::nan(); op.scratch_len(m)];
    let (x, y_block) = (BlockRef::new(from, m, x).unwrap(), BlockMut::new(to, m, &mut y).unwrap());
    match adjoint {
        true => op.apply_adjoint(x, y_block, &mut scratch),
        false => op.apply(x, y_block, &mut scratch),
    }
    .unwrap();
    y
}

fn assert_close<T: Scalar>(what: &str, found: &[T], expected: &[T], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0.0, |m: f64, x| m.max(x.f64().abs()));
    let worst = found.iter().zip(expected).fold(0.0, |m: f64, (a, b)| {
        assert!(a.is_finite(), "{what}: not finite");
        m.max((a.f64() - b.f64()).abs())
    });
    assert!(worst <= tolerance * scale, "{what}: {worst:.3e} of {scale:.3e}");
}

fn check_case<T: Scalar>(name: &str, tolerance: f64) {
    let golden = load::<T>(name);
    let (shape, machine) = (golden.shape, &Portable);
    let probes = golden.block("probe");
    for tile in [1, 2, shape.trajectories] {
        golden.linearized(tile, |lin| {
            let mut state = vec![T::nan(); shape.len()];
            lin.state(BlockMut::new(shape, 1, &mut state).unwrap()).unwrap();
            assert_close("state", &state, &read::<T>(&golden.file, "state").unwrap(), tolerance);
            let (p, c) = (Propagator::new(lin, machine), Constraint::new(lin, machine));
            let k = ParameterOperator::with(lin, machine, Coupling::All, Side::Weight);
            let k_gram = ParameterOperator::with(lin, machine, Coupling::All, Side::Gram);
            let ntk = Ntk::with(lin, machine, Coupling::All, Side::Weight);
            let ntk_gram = Ntk::with(lin, machine, Coupling::All, Side::Gram);
            let all: [(&str, &dyn LinearOperator<T>); 6] = [
                ("propagator", &p),
                ("constraint", &c),
                ("parameter", &k),
                ("parameter", &k_gram),
                ("ntk", &ntk),
                ("ntk", &ntk_gram),
            ];
            for (operator, op) in all {
                for (direction, adjoint) in [("apply", false), ("apply_adjoint", true)] {
                    let reference = format!("reference/{operator}/{direction}");
                    let y = apply(op, &probes, 3, adjoint);
                    assert_close(&format!("{name} {reference}"), &y, &golden.block(&reference), tolerance);
                }
            }
            // P P⁻¹ = I, K = J Jᵀ and NTK = (P J)(P J)ᵀ.
            assert_close("P P⁻¹", &apply(&p, &apply(&c, &probes, 3, false), 3, false), &probes, tolerance);
            for (j, op) in [
                (ParameterJacobian::immediate(lin, machine), &k as &dyn LinearOperator<T>),
                (ParameterJacobian::total(lin, machine), &ntk),
            ] {
                let twice = apply(&j, &apply(&j, &probes, 3, true), 3, false);
                assert_close("J Jᵀ", &twice, &apply(op, &probes, 3, false), tolerance);
            }
            check_block_diagonal(lin, &ntk, tolerance);
            check_closed_forms(&golden, lin, tolerance);
        });
    }
}

/// ⊕_b NTK_bb is what is left of NTK when only one trajectory at a time is fed in and read.
fn check_block_diagonal<T: Scalar>(lin: &Linearization<'_, T>, ntk: &dyn LinearOperator<T>, tolerance: f64) {
    let shape = lin.shape();
    let n = shape.per_trajectory();
    let x: Vec<T> = (0..shape.len()).map(|i| T::of((i as f64 * 0.7).sin())).collect();
    let diagonal = Ntk::with(lin, &Portable, Coupling::PerTrajectory, Side::Weight);
    let found = apply(&diagonal, &x, 1, false);
    for b in 0..shape.trajectories {
        let mut alone = vec![T::zero(); shape.len()];
        alone[b * n..(b + 1) * n].copy_from_slice(&x[b * n..(b + 1) * n]);
        let y = apply(ntk, &alone, 1, false);
        assert_close("⊕ NTK_bb", &found[b * n..(b + 1) * n], &y[b * n..(b + 1) * n], tolerance);
    }
    let core = KroneckerCore::new(lin, &Portable).unwrap();
    let y = apply(&core, &x[..shape.trajectories * shape.steps], 1, false);
    assert!(y.iter().any(|y| y.abs() > T::zero()));
}

fn check_closed_forms<T: Scalar>(golden: &Golden<T>, lin: &Linearization<'_, T>, tolerance: f64) {
    let features = Features::new(lin).unwrap();
    let mut rows = vec![T::nan(); features.rows() * features.row_len()];
    features.write(&mut rows).unwrap();
    let near = |what: &str, found: f64| {
        let expected = golden.scalar(&format!("reference/{what}"));
        assert!((found - expected).abs() <= tolerance * expected, "{what}: {found} against {expected}");
    };
    near("parameter/trace", features.trace(&rows).unwrap());
    let mut scratch = vec![T::nan(); features.frobenius_scratch_len()];
    near("parameter/frobenius", features.frobenius_squared(&rows, &rows, &Portable, &mut scratch).unwrap().sqrt());
    let core = core_forms::Reference {
        trace: golden.scalar("reference/parameter/trace"),
        frobenius: golden.scalar("reference/parameter/frobenius"),
        effective_rank: golden.scalar("reference/parameter/effective_rank"),
        ntk_eigenvalues: read(&golden.file, "reference/ntk/eigenvalues").unwrap(),
    };
    core_forms::check(lin, &features, &rows, &core, tolerance);
    let mut traces = vec![T::nan(); golden.shape.trajectories];
    let sum = |traces: &[T]| traces.iter().map(|x| x.f64()).sum();
    let mut scratch = vec![T::nan(); ntk_traces_scratch_len(lin, &Portable)];
    assert!(ntk_traces(&features, &rows, 0..traces.len(), &Portable, &mut traces, &mut scratch).unwrap());
    near("ntk/trace", sum(&traces));
    let mut scratch = vec![T::nan(); propagator_gram_traces_scratch_len(lin, &Portable)];
    assert!(propagator_gram_traces(lin, 0..traces.len(), &Portable, &mut traces, &mut scratch).unwrap());
    near("propagator_gram/trace", sum(&traces));
}

macro_rules! cases {
    ($($name:ident),*) => { $(
        #[test]
        fn $name() {
            check_case::<f64>(stringify!($name), 1e-9);
            check_case::<f32>(stringify!($name), 1e-4);
        }
    )* };
}

cases!(rnn_tanh, rnn_relu_h0, leaky_rnn, gru, gru_h0, lstm);
