//! The matrices of NTK and K without products, and between two sets of inputs: against products, on any number of ranks.

use kpflow_tests::models::{dataset, numbers};
use kpflow_tests::{assert_all_near, assert_near, graph_job, kind_job, Golden, Job, Results};
use safetensors::tensor::{Dtype, TensorView};
use std::path::Path;

/// Models of each kind, and windows or units of the state.
fn models() -> Vec<(&'static str, Job, Vec<&'static str>)> {
    let golden = |name: &str| Job::new(Golden::open(name).tables());
    vec![
        ("gru", golden("gru"), vec!["", "window = [4, 6]\nunits = [3, 0]"]),
        ("lstm", golden("lstm"), vec!["", "window = [1, 2]"]),
        ("gru_lengths", kind_job("gru_lengths"), vec!["", "units = [1]"]),
        ("mlp", golden("mlp_tanh"), vec!["", "window = [3, 4]"]),
        ("transformer", golden("transformer"), vec!["units = [31, 2]"]),
        ("conv", kind_job("conv_net"), vec!["units = [314, 300, 7]"]),
        ("gpt2", kind_job("gpt2_small"), vec!["units = [59]"]),
        ("onnx cnn", graph_job("cnn", "", "f64"), vec!["units = [0, 1]"]),
        ("onnx tokens", graph_job("tokens", "", "f64"), vec!["units = [1]"]),
    ]
}

/// Every dataset of an analysis that is that of another's, to `tolerance`.
fn same(what: &str, results: &Results, [a, b]: [&str; 2], tolerance: f64) {
    for name in ["matrix", "eigenvalues", "effective_rank", "value"] {
        assert_all_near(&format!("{what} {a} {name}"), &results.read(a, name), &results.read(b, name), tolerance);
    }
}

#[test]
fn equals_products_with_unit_vectors() {
    for (i, (name, job, parts)) in models().into_iter().enumerate() {
        let all =
            ["ntk", "parameter"].into_iter().flat_map(|operator| parts.iter().enumerate().map(move |p| (operator, p)));
        let add = |job: Job, (operator, (i, part)): (&str, (usize, &&str))| {
            ["exact", "dense"].into_iter().fold(job, |job, method| {
                let rest = format!("method = \"{method}\"\n{part}");
                job.analysis(&format!("{operator}.{i}.{method}"), operator, "matrix", &rest)
            })
        };
        let job = all.clone().fold(job, add);
        for ranks in [1, 2 + i % 2] {
            let results = job.run(ranks);
            for (operator, (i, _)) in all.clone() {
                let [exact, dense] = ["exact", "dense"].map(|method| format!("{operator}.{i}.{method}"));
                same(&format!("{name} on {ranks} ranks"), &results, [&exact, &dense], 1e-12);
                assert_eq!((results.method(&exact).as_str(), results.count(&exact, "matvecs")), ("exact", 0));
            }
        }
    }
}

/// Groups of ranks share the columns.
#[test]
fn the_same_on_any_grid() {
    let job = |ranks: usize, grid: &str| {
        let job = Job::new(Golden::open("transformer").tables());
        job.analysis("a", "ntk", "matrix", "method = \"exact\"")
            .flag("--grid")
            .flag(grid)
            .run(ranks)
            .read("a", "matrix")
    };
    let alone = job(1, "1x1");
    for (ranks, grid) in [(2, "1x2"), (4, "2x2"), (3, "1x3")] {
        assert_all_near(grid, &job(ranks, grid), &alone, 1e-13);
    }
}

/// It is taken where it is cheaper: of a readout, and not of a state of many steps.
#[test]
fn auto_takes_what_is_cheaper() {
    let job = readout(12, 5, "f64").analysis("readout", "ntk", "matrix", "");
    assert_eq!(job.run(1).method("readout"), "exact");
    let job = Job::new(Golden::open("gru").tables()).analysis("gram", "propagator_gram", "matrix", "");
    assert_eq!(job.run(1).method("gram"), "dense");
}

/// All that is read of a matrix is exact for a readout, without a product, and shares one decomposition.
#[test]
fn every_analysis_of_a_readout_reads_it() {
    let quantities = [
        ("trace", ""),
        ("frobenius", ""),
        ("norm", ""),
        ("effective_rank", ""),
        ("stable_rank", ""),
        ("entropy_rank", ""),
        ("log_det", ""),
        ("density", ""),
        ("diagonal", ""),
        ("matrix", ""),
        ("eigenpairs", "count = 7\nvectors = true"),
        ("marginal", "axis = \"unit\""),
        ("marginal", "axis = \"trajectory\""),
    ];
    let all = |job: Job, method: &str| {
        quantities.iter().enumerate().fold(job, |job, (i, (quantity, rest))| {
            job.analysis(&format!("q{i}"), "ntk", quantity, &format!("{rest}\n{method}"))
        })
    };
    let dense = all(readout(12, 5, "f64"), "method = \"dense\"").run(1);
    let job = all(readout(12, 5, "f64"), "");
    for ranks in [1, 3] {
        let results = job.run(ranks);
        for (i, (quantity, _)) in quantities.iter().enumerate() {
            let (name, what) = (format!("q{i}"), format!("{quantity} on {ranks} ranks"));
            let told = (results.method(&name), results.count(&name, "matvecs"));
            // A trace by itself has a closed form; here the matrix is made for all.
            assert_eq!(told, ("exact".into(), 0), "{what}");
            for array in ["value", "matrix", "eigenvalues", "effective_rank", "diagonal", "row_norms", "density"] {
                if dense.group(&name).link_exists(array) {
                    assert_all_near(&what, &results.read(&name, array), &dense.read(&name, array), 1e-10);
                }
            }
        }
        let (v, w) = (results.read("q10", "eigenvectors"), dense.read("q10", "eigenvectors"));
        for (v, w) in v.chunks(60).zip(w.chunks(60)) {
            let dot: f64 = v.iter().zip(w).map(|(x, y)| x * y).sum();
            assert_near("an eigenvector", dot.abs(), 1.0, 1e-9, 1.0);
        }
    }
}

#[test]
fn what_it_is_not_for_is_refused() {
    let golden = Golden::open("gru");
    let job = || Job::new(golden.tables());
    let exact = "method = \"exact\"";
    job()
        .analysis("a", "ntk", "matrix", &format!("{exact}\naverage = true"))
        .refused_on(&[1, 2], &["mean over trajectories"]);
    job().analysis("a", "core", "matrix", exact).refused_on(&[1], &["exact", "is not for the matrix of core"]);
    let other = |more: &str| Job::new(format!("{}other_inputs = \"x.npy\"\n{more}", golden.tables()));
    other("").analysis("a", "ntk", "trace", "").refused_on(&[1], &["other_inputs", "quantity = \"matrix\""]);
    other("").analysis("a", "ntk", "matrix", "method = \"dense\"").refused_on(&[1], &["other_inputs", "exact"]);
    other("").analysis("a", "ntk", "matrix", "").refused_on(&[1, 2], &["x.npy"]);
    other("mask = \"x.npy\"\n").analysis("a", "ntk", "matrix", "").refused_on(&[1], &["other_inputs and mask"]);
    let job = job();
    dataset(&job.path("y.h5"), "inputs", &[2, 5, 3], 1.0);
    let job = job.line("other_inputs = \"y.h5:/inputs\"").analysis("a", "ntk", "matrix", "");
    job.refused_on(&[1, 2], &["y.h5", "[2, 5, 3]", "another size"]);
}

/// Writes rows `range` of some inputs.
fn write_rows(path: &Path, shape: &[usize], all: &[f64], range: std::ops::Range<usize>) {
    let per: usize = shape[1..].iter().product();
    let shape: Vec<usize> = std::iter::once(range.len()).chain(shape[1..].iter().copied()).collect();
    let file = kpflow_tests::create(path);
    let set = file.new_dataset::<f64>().shape(shape).create("inputs").unwrap();
    set.write_raw(&all[range.start * per..range.end * per]).unwrap();
}

/// NTK(x, y) is a block of the matrix on x and y together.
#[test]
fn between_two_sets_of_inputs() {
    for (name, part) in
        [("gru", "window = [2, 5]\nunits = [4, 1]"), ("mlp_tanh", ""), ("transformer", "units = [9, 8]")]
    {
        let golden = Golden::open(name);
        let all = golden.read("inputs");
        let [b, ..] = golden.shape;
        let shape = kpflow_tests::open(kpflow_tests::golden(&format!("{name}.h5"))).dataset("inputs").unwrap().shape();
        let tables = golden.tables();
        let (model, _) = tables.split_once("[data]").unwrap();
        // Two ranks do not share those of x evenly.
        let x = b.min(4) - 1;
        let operators = ["ntk", "parameter"];
        let all_of = |job: Job, part: &str| operators.iter().fold(job, |job, o| job.analysis(o, o, "matrix", part));
        let dense = all_of(Job::new(golden.tables()), &format!("method = \"dense\"\n{part}")).run(1);
        let job = Job::new(format!("{model}[data]\ninputs = \"x.h5:/inputs\"\nother_inputs = \"y.h5:/inputs\"\n"));
        write_rows(&job.path("x.h5"), &shape, &all, 0..x);
        write_rows(&job.path("y.h5"), &shape, &all, x..b);
        let job = all_of(job, part);
        for (ranks, operator) in [1, 2].into_iter().flat_map(|ranks| operators.map(|o| (ranks, o))) {
            if operator == operators[0] {
                job.run(ranks);
            }
            let (results, whole) = (job.results(), dense.read(operator, "matrix"));
            let n = (whole.len() as f64).sqrt() as usize;
            let per = n / b;
            let block = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| -> Vec<f64> {
                rows.flat_map(|i| whole[i * n..][columns.clone()].to_vec()).collect()
            };
            let (here, both) = (block(0..x * per, 0..x * per), block(x * per..n, 0..x * per));
            assert_eq!(results.method(operator), "exact");
            assert_all_near(&format!("{name} {operator} x"), &results.read(operator, "matrix"), &here, 1e-12);
            assert_all_near(&format!("{name} {operator} y, x"), &results.read(operator, "other"), &both, 1e-12);
        }
    }
}

/// An mlp's readout of so many numbers, for so many inputs.
fn readout(inputs: usize, outputs: usize, precision: &str) -> Job {
    let widths = [20, 16, 12, outputs];
    let layers = widths.windows(2).enumerate().flat_map(|(l, w)| {
        [(format!("layers.{l}.weight"), vec![w[1], w[0]]), (format!("layers.{l}.bias"), vec![w[1]])]
    });
    let layers: Vec<(String, Vec<usize>)> = layers.collect();
    let bytes =
        |shape: &Vec<usize>| -> Vec<u8> { numbers(shape.iter().product(), 0.5).flat_map(f64::to_le_bytes).collect() };
    let data: Vec<Vec<u8>> = layers.iter().map(|(_, shape)| bytes(shape)).collect();
    let views = layers.iter().zip(&data);
    let views =
        views.map(|((name, shape), data)| (name.clone(), TensorView::new(Dtype::F64, shape.clone(), data).unwrap()));
    let text =
        "[model]\nkind = \"mlp\"\nweights = \"w.safetensors\"\nactivation = \"tanh\"\noutput_activation = \"linear\"\n\
                readout = \"layers.2\"\n[data]\ninputs = \"x.h5:/inputs\"\n";
    let new = Job::new(format!("{text}[compute]\nprecision = \"{precision}\"\n"));
    drop(std::fs::write(new.path("w.safetensors"), safetensors::serialize(views, None).unwrap()));
    dataset(&new.path("x.h5"), "inputs", &[inputs, 20], 1.0);
    new
}

/// Matrices that are too large to be decomposed; in parts there are rows of them.
#[test]
fn many_rows() {
    let (inputs, outputs) = (1030, 4);
    let n = inputs * outputs;
    let places = [0, 1, 2059, n - 1];
    for (ranks, parts, name, other) in [(1, 256, "matrix", "rows"), (2, 1, "rows", "matrix")] {
        let job = readout(inputs, outputs, "f32").line(&format!("[output]\nparts = {parts}"));
        let mut units = vec![0.0; places.len() * n];
        places.iter().enumerate().for_each(|(v, i)| units[v * n + i] = 1.0);
        let shape = (places.len(), inputs, 1, outputs);
        let file = kpflow_tests::create(job.path("e.h5"));
        file.new_dataset::<f64>().shape(shape).create("e").unwrap().write_raw(&units).unwrap();
        drop(file);
        let job = job.analysis("a", "ntk", "matrix", "").analysis("product", "ntk", "apply", "with = \"e.h5:/e\"");
        let sums = [("trace", "trace"), ("norm", "frobenius"), ("rank", "effective_rank")];
        let job = sums.iter().fold(job, |job, (name, quantity)| job.analysis(name, "ntk", quantity, ""));
        let results = job.run(ranks);
        let there = |name: &str| results.group("a").link_exists(name);
        assert_eq!((results.method("a").as_str(), there(other), there("eigenvalues")), ("exact", false, false));
        let (rows, product) = (results.read("a", name), results.read("product", "product"));
        assert_eq!(rows.len(), n * n);
        for (v, &i) in places.iter().enumerate() {
            assert_all_near(&format!("row {i}"), &rows[i * n..][..n], &product[v * n..][..n], 1e-5);
        }
        let (trace, square) = (0..n).fold((0.0, 0.0), |(trace, square), i| {
            (trace + rows[i * n + i], square + rows[i * n..][..n].iter().map(|x| x * x).sum::<f64>())
        });
        let rank = trace * trace / square;
        assert_near("the trace", results.value("a"), trace, 1e-6, trace);
        // Sums of rows that no rank has all of.
        for (name, value) in [("trace", trace), ("norm", square.sqrt()), ("rank", trace * trace / square)] {
            assert_eq!((results.method(name).as_str(), results.count(name, "matvecs")), ("exact", 0), "{name}");
            assert_near(name, results.value(name), value, 1e-5, value);
        }
        assert_near("the rank", results.read("a", "effective_rank")[0], rank, 1e-5, rank);
    }
}
