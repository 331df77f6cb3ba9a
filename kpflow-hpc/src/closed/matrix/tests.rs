use super::layout::{How, Way};
use super::{ExactMatrix, Rows};
use crate::analysis::Operator;
use crate::comm::Comm;
use crate::engine::{Engine, Real};
use crate::job::Job;
use crate::model::Loaded;
use kpflow_core::ntk::Coupling;
use kpflow_estimate::{Problem, Space};
use std::path::Path;

const CONV: &str = "layers = [{ type = \"conv\", name = \"0\", padding = 1 }, { type = \"relu\" }, { type = \"maxpool\", size = 2 }, \
    { type = \"conv\", name = \"3\", stride = 2, padding = 1, groups = 2 }, { type = \"batchnorm\", name = \"4\" }, \
    { type = \"tanh\" }, { type = \"avgpool\", size = [1, 2] }, { type = \"flatten\" }, { type = \"linear\", name = \"8\" }]";

/// Kind, file, lines of the model and of the data.
const MODELS: [[&str; 4]; 7] = [
    ["gru", "golden/gru", "", ""],
    ["gru", "reference/data/gru_stacked_lengths", "layers = 2", "lengths"],
    ["mlp", "golden/mlp_tanh", "", ""],
    ["mlp", "reference/data/mlp_layer_norm", "", ""],
    ["transformer", "golden/transformer", "heads = 2", ""],
    ["conv", "reference/data/conv_net", CONV, ""],
    // Its embedding is its last layer too.
    ["gpt2", "reference/data/gpt2_small", "heads = 3", ""],
];

fn job([kind, name, lines, data]: [&str; 4]) -> Job {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests").join(name).display().to_string();
    let data = if data.is_empty() { String::new() } else { format!("{data} = \"{file}.h5:/{data}\"") };
    let text = format!(
        "[model]\nkind = \"{kind}\"\nweights = \"{file}.safetensors\"\n{lines}\n[data]\ninputs = \"{file}.h5:/inputs\"\n{data}\n\
         [[analysis]]\nname = \"a\"\nquantity = \"trace\""
    );
    Job::parse(Path::new("job.toml"), text).unwrap()
}

/// The largest difference of entries of both, by the largest entry.
fn off(found: &[f64], truth: &[f64]) -> f64 {
    assert_eq!(found.len(), truth.len());
    let largest = truth.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    found.iter().zip(truth).fold(0.0, |m: f64, (x, y)| m.max((x - y).abs())) / largest
}

/// Every way, in few and in many groups, of all numbers of the state and of some, against products with unit vectors.
fn agree<T: Real>(model: [&str; 4], tolerance: f64) {
    let engine = Engine::new(Comm::alone(), 2).unwrap();
    let job = job(model);
    let loaded = Loaded::<T>::load(&job, &engine).unwrap();
    let check = |lin: &kpflow_core::model::Linearization<'_, T>| {
        let (b, per) = (lin.shape().trajectories, lin.shape().per_trajectory());
        for (operator, total) in [(Operator::Ntk, true), (Operator::Parameter, false)] {
            let made = operator.make(lin, &engine, Coupling::All).unwrap();
            let problem = Problem::new(&*made, &engine, (0, b), 0, 16, &|_, _, _| ());
            let few: Vec<usize> = (0..per).rev().step_by(per.div_ceil(5)).collect();
            for numbers in if per > 40 { vec![few] } else { vec![(0..per).collect(), few] } {
                let places: Vec<usize> = (0..b).flat_map(|b| numbers.iter().map(move |i| b * per + i)).collect();
                let n = places.len();
                let y = problem.apply(&problem.units(&places)).unwrap();
                let entry = |k: usize| y.part(places[k / n] / per, k % n)[places[k / n] % per].f64();
                let some: Vec<f64> = (0..n * n).map(entry).collect();
                for way in [None, Some(Way::Pairs), Some(Way::Weights)] {
                    for group in [usize::MAX, 200 * n] {
                        let exact =
                            ExactMatrix { how: How { way, group }, ..ExactMatrix::new(lin, total, &numbers, b) };
                        let Rows { first, numbers: found } = exact.rows(&engine, 0).unwrap();
                        let error = off(&found, &some);
                        println!("{} {operator:?} {way:?} {n} rows: {error:.1e}", model[1]);
                        assert!(first == 0 && error < tolerance, "{model:?} {operator:?} {way:?}: {error:.1e}");
                        let scaled = exact.rows(&engine, 4).unwrap().numbers;
                        assert!(scaled.iter().zip(&found).all(|(x, y)| 16.0 * x == *y));
                        // A matrix with itself, of which nothing is known to be symmetric.
                        let both = exact.rows_with(&exact, &engine, 0).unwrap().numbers;
                        assert!(off(&both, &some) < tolerance, "{model:?} {operator:?} {way:?}");
                    }
                }
            }
        }
    };
    loaded.linearized(loaded.weights(), &engine, check).unwrap();
}

#[test]
fn equals_products_with_unit_vectors() {
    MODELS.into_iter().for_each(|model| agree::<f64>(model, 1e-12));
}

#[test]
fn equals_products_in_single_precision() {
    [MODELS[0], MODELS[2], MODELS[4]].into_iter().for_each(|model| agree::<f32>(model, 3e-5));
}
