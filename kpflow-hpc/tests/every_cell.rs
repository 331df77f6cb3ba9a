//! Every quantity of every operator by every method, on small models of three kinds: a number, or
//! one plain line before anything runs.

use kpflow_hpc::analysis::outputs::Dimension;
use kpflow_hpc::analysis::{self, keys, offers, Operator, Output, Quantity, With};
use kpflow_hpc::cli::{parse_from, Command};
use kpflow_hpc::comm::Comm;
use kpflow_hpc::command::perform;
use kpflow_hpc::error::{Error, Kind};
use kpflow_hpc::job::Job;
use kpflow_hpc::results::read::Results;
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
}

/// What an error may be: one line that says what is wrong, of the user's.
#[track_caller]
fn plain(cell: &str, e: &Error) {
    let text = e.to_string();
    assert_eq!(e.kind, Kind::Input, "{cell}: {text}");
    assert!(!text.contains("internal") && !text.contains("panicked") && !text.contains('\n'), "{cell}: {text}");
}

fn run(job: &Path) -> Result<(), Error> {
    let words =
        ["kpflow", "run", &job.display().to_string(), "--resume", "--quiet", "--threads", "2"].map(String::from);
    let Ok(command @ Command::Run(_)) = parse_from(words) else { panic!("not a run") };
    perform(command, Comm::alone())
}

/// An analysis: its name and its table, with what its quantity needs; `files`: other weights, and a tensor that is as the state.
fn asked(
    q: &Quantity,
    operator: &str,
    method: &str,
    count: usize,
    products: usize,
    files: [&str; 2],
) -> (String, String) {
    let name = format!("{}.{operator}.{method}", q.name);
    let mut table = format!(
        "[[analysis]]\nname = \"{name}\"\noperator = \"{operator}\"\nquantity = \"{}\"\nmethod = \"{method}\"\n\
         max_matvecs = {products}\n",
        q.name
    );
    match q.with {
        Some(With::Weights) => table += &format!("with = {}\n", files[0]),
        Some(With::State | With::Vectors) => table += &format!("with = {}\n", files[1]),
        None => {}
    }
    if q.has(&keys::AXES) {
        table += "axis = \"unit\"\n";
    }
    if q.has(&keys::COUNT) {
        table += &format!("count = {count}\n");
    }
    (name, table)
}

fn walk(case: &str, model: &str) {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let shape =
        hdf5::File::open(golden(&format!("{case}.h5"))).unwrap().attr("shape").unwrap().read_raw::<i64>().unwrap();
    let shape: Vec<usize> = shape.iter().map(|&n| n as usize).collect();
    let signal = at("e.h5");
    {
        let file = hdf5::File::create(&signal).unwrap();
        let n: usize = shape.iter().product();
        let e: Vec<f64> = (0..n).map(|i| ((i * 7 % 11) as f64 - 5.0) / 3.0).collect();
        file.new_dataset::<f64>().shape(shape).create("e").unwrap().write_raw(&e).unwrap();
    }
    let head = format!(
        "{model}weights = {:?}\n[data]\ninputs = \"{}:/inputs\"\n",
        golden(&format!("{case}.safetensors")),
        golden(&format!("{case}.h5")).display()
    );
    let other = format!("{:?}", golden(&format!("{case}.other.safetensors")));
    let signal = format!("\"{}:/e\"", signal.display());
    let mut legal = Vec::new();
    for q in analysis::ALL {
        for &(operator, o) in Operator::ALL {
            for method in analysis::methods() {
                let count = if o.about().symmetric { 2 } else { 1 };
                let (name, table) = asked(q, operator, method.name, count, 60, [&other, &signal]);
                match Job::parse(&at("job.toml"), format!("{head}{table}")) {
                    Ok(_) => legal.push((name, table)),
                    Err(e) => plain(&name, &e),
                }
            }
        }
    }
    assert!(legal.len() > 150, "{}", legal.len());
    // What a model has not is refused by name before anything runs: all the others are made in one
    // go.
    let all = legal.len();
    loop {
        let tables: String = legal.iter().map(|l| l.1.as_str()).collect();
        std::fs::write(at("job.toml"), format!("{head}{tables}")).unwrap();
        let Err(e) = run(&at("job.toml")) else { break };
        let text = e.to_string();
        let named = legal.iter().position(|l| text.contains(&format!("in [[analysis]] {}:", l.0)));
        let (name, _) = legal.remove(named.unwrap_or_else(|| panic!("{case}: {text}")));
        plain(&format!("{case} {name}"), &e);
        assert!(!at("results.h5").exists(), "{case}: {text}");
    }
    let found = Results::open(&at("results.h5")).unwrap();
    assert_eq!(found.analyses.len(), legal.len());
    println!("{case}: {} of {all}", legal.len());
    for a in &found.analyses {
        let numbers: Vec<f64> = a.arrays().flat_map(|(_, x)| x.data.clone()).collect();
        assert!(!numbers.is_empty() && numbers.iter().all(|x| !x.is_nan()), "{case} {}: {:?}", a.name, a.value());
        written(&at("results.h5"), &a.name, a.described().unwrap());
    }
}

/// Asserts that the file has of an analysis what its quantity says, and nothing else.
#[track_caller]
fn written(results: &Path, name: &str, quantity: &Quantity) {
    let file = hdf5::File::open(results).unwrap();
    let group = file.group(&format!("analysis/{name}")).unwrap();
    // Scales name axes; some are the quantity's own.
    let scale = |dataset: &String| group.dataset(dataset).unwrap().attr("CLASS").is_ok();
    let own = |dataset: &String| !scale(dataset) || quantity.output(dataset).is_some();
    let there: Vec<String> = group.member_names().unwrap().into_iter().filter(own).collect();
    for dataset in &there {
        let output =
            quantity.output(dataset).unwrap_or_else(|| panic!("{name} has {dataset}, unknown to its quantity"));
        // A tensor of each of several vectors has no axis for them where a single one is given, as here.
        let tensor = output.dimensions.contains(&Dimension::Trajectory);
        let axes = output.dimensions.iter().filter(|d| !(tensor && **d == Dimension::Vector)).count();
        assert_eq!(group.dataset(dataset).unwrap().ndim(), axes, "{name}: {dataset}");
    }
    // An exact method has no history.
    // Nor has a small matrix rows in parts, nor a job without other inputs a matrix of them.
    let elsewhere = |o: &&Output| ["history", "rows", "other"].contains(&o.name);
    let missing = |o: &&Output| o.asked.is_none() && !elsewhere(o) && !there.iter().any(|d| d == o.name);
    let missing: Vec<&str> = quantity.outputs.iter().filter(missing).map(|o| o.name).collect();
    assert!(missing.is_empty(), "{name} lacks {missing:?}");
}

#[test]
fn a_gru() {
    walk("gru", "[model]\nkind = \"gru\"\n");
}

#[test]
fn an_mlp() {
    walk("mlp_tanh", "[model]\nkind = \"mlp\"\nactivation = \"tanh\"\n");
}

#[test]
fn a_transformer() {
    walk("transformer", "[model]\nkind = \"transformer\"\nheads = 2\n");
}

/// How often a number of a result has the operator as a factor.
fn degree(quantity: &str, array: &str) -> i32 {
    match (quantity, array) {
        (
            "trace" | "frobenius" | "norm" | "density" | "matrix" | "marginal" | "blocks" | "diagonal" | "apply",
            "value" | "standard_error" | "interval",
        ) => 1,
        (
            _,
            "matrix" | "product" | "diagonal" | "diagonal_errors" | "row_norms" | "row_norm_errors" | "standard_errors"
            | "eigenvalues" | "singular_values" | "traces" | "trace_errors" | "grid" | "width",
        ) => 1,
        (_, "predicted_decrease") => 1,
        (_, "density" | "density_errors" | "time_constants") => -1,
        _ => 0,
    }
}

/// A relu network of positive numbers without biases: NTK and K are of degree 2 in the inputs,
/// exactly.
fn positive(directory: &Path, power: i32, signal: f64) -> String {
    let numbers = |n: usize, seed: usize| {
        (0..n).map(move |i| ((i * i + seed * i + seed) % 17 + 1) as f64 / 40.0).collect::<Vec<f64>>()
    };
    let bytes = |x: &[f64]| x.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let (ih, hh) = (bytes(&numbers(12, 3)), bytes(&numbers(16, 5)));
    let view = |shape: [usize; 2], b| {
        safetensors::tensor::TensorView::new(safetensors::Dtype::F64, shape.to_vec(), b).unwrap()
    };
    let tensors = [("weight_ih_l0", view([4, 3], &ih)), ("weight_hh_l0", view([4, 4], &hh))];
    std::fs::write(directory.join("w.safetensors"), safetensors::serialize(tensors, None).unwrap()).unwrap();
    let x: Vec<f64> = numbers(2 * 6 * 3, 7).into_iter().map(|x| x * 2f64.powi(power)).collect();
    let file = hdf5::File::create(directory.join("x.h5")).unwrap();
    file.new_dataset::<f64>().shape([2, 6, 3]).create("x").unwrap().write_raw(&x).unwrap();
    let e: Vec<f64> = (0..48).map(|i| ((i * 7 % 11) as f64 - 5.0) * signal).collect();
    file.new_dataset::<f64>().shape([2, 6, 4]).create("e").unwrap().write_raw(&e).unwrap();
    "[model]\nkind = \"rnn\"\nactivation = \"relu\"\nweights = \"w.safetensors\"\n[data]\ninputs = \"x.h5:/x\"\n".into()
}

#[test]
fn every_number_is_of_its_degree_at_any_scale() {
    let mut tables = String::new();
    for q in analysis::ALL {
        // None is a number with a degree: what has a noise beside the operator is of none.
        if [analysis::LOG_DET.name, analysis::SOLVE.name, analysis::LYAPUNOV.name].contains(&q.name) {
            continue;
        }
        for &(operator, o) in Operator::ALL.iter().filter(|o| matches!(o.1, Operator::Ntk | Operator::Parameter)) {
            for offer in offers(q).iter().filter(|offer| (offer.fits)(o)) {
                let files = ["\"w.safetensors\"", "\"x.h5:/e\""];
                tables += &asked(q, operator, offer.name, 3, 40, files).1;
            }
        }
    }
    let at = |power: i32, precision: &str| {
        let directory = tempfile::tempdir().unwrap();
        // Small, and in the range of the precision.
        let signal = if precision == "f32" { 1e-25 } else { 1e-100 };
        let head = positive(directory.path(), power, signal);
        let job = directory.path().join("job.toml");
        std::fs::write(&job, format!("{head}[compute]\nprecision = \"{precision}\"\n{tables}")).unwrap();
        run(&job).unwrap_or_else(|e| panic!("2^{power} in {precision}: {e}"));
        Results::open(&directory.path().join("results.h5")).unwrap()
    };
    for (precision, powers, tolerance) in [("f64", [250, -250], 1e-9), ("f32", [26, -24], 2e-3)] {
        let one = at(0, precision);
        assert!(one.analyses.len() > 70);
        for power in powers {
            let scaled = at(power, precision);
            for a in &one.analyses {
                let b = scaled.analysis(&a.name).unwrap();
                for (name, x) in a.arrays() {
                    let (d, y) = (degree(&a.quantity, name), b.array(name).unwrap());
                    // 2^power squared, in two steps that the numbers hold.
                    let up = |x: f64| x * 2f64.powi(power * d) * 2f64.powi(power * d);
                    let up =
                        |x: f64| if name == "log10_grid" { x + 2.0 * f64::from(power) * 2f64.log10() } else { up(x) };
                    let largest = x.data.iter().map(|x| up(*x).abs()).filter(|x| x.is_finite()).fold(0.0, f64::max);
                    assert_eq!(x.data.len(), y.data.len(), "{} {name}", a.name);
                    // Errors in single precision are of its rounding.
                    let loose =
                        precision == "f32" && name.contains("error") || name == "residuals" || name == "zero_mass";
                    for (x, y) in x.data.iter().zip(&y.data).filter(|_| !loose) {
                        let same = up(*x) == *y || (up(*x) - y).abs() <= tolerance * largest;
                        assert!(same, "{precision} 2^{power} {} {name}: {:e} for {:e}", a.name, y, up(*x));
                    }
                }
            }
        }
    }
}
