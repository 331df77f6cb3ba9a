//! Random small jobs against the dense oracle until the time is up: `soak SECONDS [SEED]`; scripts/soak.sh builds and starts it.
//!
//! A job is a model of any native kind with random weights and inputs, an operator, a quantity and a method, on one to three ranks, and now and
//! then killed and gone on with. The same quantity by `method = "dense"`, alone and in double precision, is what it has to come to:
//! within [`ERRORS`] standard errors (or, if it is not, with 95 % intervals that cover it under other seeds), or to rounding where it claims to be exact. The
//! seed of a job that does not is told, and its directory kept.

use kpflow_tests::{command, Background, Done, Results, TRACES};
use safetensors::tensor::{Dtype, TensorView};
use std::panic::catch_unwind;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Standard errors that an estimate may be off.
const ERRORS: f64 = 5.0;
/// Other seeds that one beyond them is repeated with, and how many of their 95 % intervals may miss: if they cover 88 % more do once in 50 times, if 95 %
/// once in 8000. Among thousands of estimates from few samples some are off by chance; those of an error bar that is wrong are off again.
const REPEATS: usize = 24;
const MISSES: usize = 6;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// From `least` to `most`.
    fn number(&mut self, least: usize, most: usize) -> usize {
        least + (self.next() % (most - least + 1) as u64) as usize
    }
    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.number(0, list.len() - 1)]
    }
    fn chance(&mut self, percent: usize) -> bool {
        self.number(1, 100) <= percent
    }
    /// Uniform in (−1, 1).
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
    fn numbers(&mut self, count: usize, scale: f64) -> Vec<f64> {
        (0..count).map(|_| scale * self.unit()).collect()
    }
}

/// Names, shapes and numbers.
type Tensors = Vec<(String, Vec<usize>, Vec<f64>)>;

/// A model: the lines of `[model]`, the shape of its inputs and of its initial state, and its tensors.
struct Model {
    lines: String,
    inputs: Vec<usize>,
    initial: Option<Vec<usize>>,
    tensors: Tensors,
}

fn matrix(tensors: &mut Tensors, random: &mut Random, name: String, rows: usize, columns: usize) {
    let scale = 1.8 / (columns as f64).sqrt();
    tensors.push((name, vec![rows, columns], random.numbers(rows * columns, scale)));
}

fn row(tensors: &mut Tensors, random: &mut Random, name: String, len: usize, mean: f64) {
    let numbers = random.numbers(len, 0.3).into_iter().map(|x| x + mean).collect();
    tensors.push((name, vec![len], numbers));
}

fn model(random: &mut Random) -> Model {
    let kinds = ["rnn", "leaky_rnn", "gru", "lstm", "mlp", "neural_ode", "transformer"];
    let (kind, b, t) = (random.pick(&kinds), random.number(1, 5), random.number(1, 7));
    let (n_in, mut tensors) = (random.number(1, 3), Tensors::new());
    let mut lines = format!("[model]\nkind = \"{kind}\"\nweights = \"w.safetensors\"\n");
    let mut layers = |random: &mut Random, sizes: &[usize]| {
        for (l, w) in sizes.windows(2).enumerate() {
            matrix(&mut tensors, random, format!("layers.{l}.weight"), w[1], w[0]);
            row(&mut tensors, random, format!("layers.{l}.bias"), w[1], 0.0);
        }
    };
    let (inputs, initial) = match kind {
        "mlp" => {
            let sizes: Vec<usize> = (0..random.number(2, 4)).map(|_| random.number(2, 6)).collect();
            layers(random, &sizes);
            (vec![b, sizes[0]], None)
        }
        "neural_ode" => {
            let n = random.number(2, 5);
            let (hidden, dt) = (random.number(2, 6), 0.05 * random.number(1, 10) as f64);
            layers(random, &[n + n_in, hidden, n]);
            lines += &format!("solver = \"{}\"\ndt = {dt:?}\n", random.pick(&["euler", "midpoint", "rk4"]));
            (vec![b, t, n_in], Some(vec![b, n]))
        }
        "transformer" => {
            let (heads, t) = (random.number(1, 2), t.min(4));
            let d = heads * random.number(2, 3);
            lines += &format!("heads = {heads}\n");
            for l in 0..random.number(1, 2) {
                let inner = random.number(3, 8);
                let name = |s: &str| format!("blocks.{l}.{s}");
                for ln in ["ln_1", "ln_2"] {
                    row(&mut tensors, random, name(&format!("{ln}.weight")), d, 1.0);
                    row(&mut tensors, random, name(&format!("{ln}.bias")), d, 0.0);
                }
                let sites = [
                    ("attn.in_proj_", 3 * d, d),
                    ("attn.out_proj.", d, d),
                    ("mlp.c_fc.", inner, d),
                    ("mlp.c_proj.", d, inner),
                ];
                for (site, rows, columns) in sites {
                    matrix(&mut tensors, random, name(&format!("{site}weight")), rows, columns);
                    row(&mut tensors, random, name(&format!("{site}bias")), rows, 0.0);
                }
            }
            (vec![b, t, d], None)
        }
        _ => {
            let (gates, states) = match kind {
                "gru" => (3, 1),
                "lstm" => (4, 2),
                _ => (1, 1),
            };
            let (layers, both, h) = (random.number(1, 2), random.chance(20), random.number(2, 5));
            match kind {
                "leaky_rnn" => {
                    lines += &format!(
                        "dt = {:?}\nactivation = \"{}\"\n",
                        0.1 * random.number(1, 10) as f64,
                        random.pick(&["tanh", "relu", "sigmoid"])
                    )
                }
                "rnn" => lines += &format!("activation = \"{}\"\n", random.pick(&["tanh", "relu"])),
                _ => {}
            }
            let ways = if both { &["", "_reverse"][..] } else { &[""] };
            for l in 0..layers {
                let reads = if l == 0 { n_in } else { ways.len() * h };
                for way in ways {
                    matrix(&mut tensors, random, format!("weight_ih_l{l}{way}"), gates * h, reads);
                    matrix(&mut tensors, random, format!("weight_hh_l{l}{way}"), gates * h, h);
                    row(&mut tensors, random, format!("bias_ih_l{l}{way}"), gates * h, 0.0);
                    row(&mut tensors, random, format!("bias_hh_l{l}{way}"), gates * h, 0.0);
                }
            }
            (vec![b, t, n_in], random.chance(50).then(|| vec![b, layers * ways.len() * states * h]))
        }
    };
    Model { lines, inputs, initial, tensors }
}

/// What is asked, by which methods, and the keys that it needs.
const QUANTITIES: [(&str, &[&str], &str); 11] = [
    ("trace", &TRACES, ""),
    ("trace", &["exact"], ""),
    ("frobenius", &["auto", "hutchpp", "hutchinson", "one_sided"], ""),
    ("effective_rank", &["auto", "hutchpp", "hutchinson", "one_sided"], ""),
    ("stable_rank", &["auto", "hutchpp", "hutchinson"], ""),
    ("entropy_rank", &["auto", "lanczos"], ""),
    ("log_det", &["auto", "lanczos"], "noise = 0.5"),
    ("norm", &["auto", "block_krylov"], ""),
    ("eigenpairs", &["auto", "block_krylov"], "count = 4"),
    ("alignment", &["auto", "hutchpp", "hutchinson", "one_sided"], "with = \"v.safetensors\""),
    ("marginal", &["auto", "hutchinson"], "axis = \"unit\""),
];

fn save(path: &Path, tensors: &Tensors) {
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|t| t.2.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), b)| (name, TensorView::new(Dtype::F64, shape.clone(), b).unwrap()));
    safetensors::serialize_to_file(views, None, path).unwrap();
}

fn kpflow(ranks: usize, directory: &Path, arguments: &[&str]) -> Background {
    let mut run = command(ranks, arguments);
    run.current_dir(directory);
    Background::start(run)
}

/// One analysis of a job.
#[derive(Clone, Copy)]
struct Asked {
    operator: &'static str,
    quantity: &'static str,
    method: &'static str,
    keys: &'static str,
    budget: usize,
    rtol: &'static str,
}

impl Asked {
    fn new(random: &mut Random) -> Self {
        let (quantity, methods, keys) = random.pick(&QUANTITIES);
        let operator = random.pick(&["ntk", "ntk", "parameter", "propagator_gram", "core"]);
        let (method, rtol) = (random.pick(methods), random.pick(&["0", "1e-2", "1e-3"]));
        Self { operator, quantity, method, keys, budget: random.number(30, 400), rtol }
    }

    /// As a table of a job: as it is, or for the oracle.
    fn table(&self, name: &str, oracle: bool) -> String {
        let Self { operator, quantity, method, keys, budget, rtol } = self;
        let rest = match oracle {
            true => "method = \"dense\"".to_string(),
            false => format!("method = \"{method}\"\nrtol = {rtol}\nmax_matvecs = {budget}"),
        };
        format!(
            "[[analysis]]\nname = \"{name}\"\noperator = \"{operator}\"\nquantity = \"{quantity}\"\n{keys}\n{rest}\n"
        )
    }
}

/// What the analyses of one job came to.
#[derive(Default)]
struct Outcome {
    agree: usize,
    /// Off by chance: the intervals of other seeds cover.
    unlucky: usize,
    /// There is no such method for this model, and the program says so.
    refused: usize,
    wrong: Vec<String>,
}

/// The analysis that a run was refused for.
fn refused(done: &Done) -> Option<String> {
    let right = done.status.code() == Some(2) && done.errors().len() == 1 && !done.stderr.contains("panicked");
    let name = done.errors().first()?.split("in [[analysis]] ").nth(1)?.split(':').next()?.to_string();
    right.then_some(name)
}

fn one(seed: u64, directory: &Path) -> Outcome {
    let (random, mut outcome) = (&mut Random(seed), Outcome::default());
    let model = model(random);
    let (single, ranks) = (random.chance(25), random.pick(&[1, 1, 2, 3]));
    save(&directory.join("w.safetensors"), &model.tensors);
    let moved = |(n, s, x): &(String, Vec<usize>, Vec<f64>)| {
        (n.clone(), s.clone(), x.iter().map(|x| x + 0.2 * random.unit()).collect())
    };
    save(&directory.join("v.safetensors"), &model.tensors.iter().map(moved).collect());
    let len = |s: &[usize]| s.iter().product::<usize>();
    let mut data = vec![("inputs".to_string(), model.inputs.clone(), random.numbers(len(&model.inputs), 1.5))];
    let mut text = model.lines.clone() + "[data]\ninputs = \"x.safetensors:inputs\"\n";
    if let Some(shape) = &model.initial {
        data.push(("h0".into(), shape.clone(), random.numbers(len(shape), 1.0)));
        text += "initial_state = \"x.safetensors:h0\"\n";
    }
    save(&directory.join("x.safetensors"), &data);
    let (seed, block) = (random.number(0, 1000), random.number(1, 9));
    let head = |precision: &str, seed: usize| {
        let compute = format!("[compute]\nprecision = \"{precision}\"\nseed = {seed}\nblock = {block}\n");
        format!("{text}{compute}[output]\ncheckpoint = 0\n")
    };
    let mut asked: Vec<(String, Asked)> = (0..8).map(|i| (format!("a{i}"), Asked::new(random))).collect();
    let mut arguments = vec!["run", "job.toml", "--output", "job.h5"];
    let grid = format!("1x{ranks}");
    if ranks > 1 && random.chance(40) {
        arguments.extend(["--grid", &grid]);
    }
    let killed = random.chance(30).then(|| random.number(5, 60 * ranks * ranks));
    let precision = if single { "f32" } else { "f64" };
    loop {
        if asked.is_empty() {
            return outcome;
        }
        let job = |precision: &str, oracle: bool| {
            let tables = asked.iter().map(|(name, a)| a.table(name, oracle)).collect::<String>();
            head(precision, seed) + &tables
        };
        std::fs::write(directory.join("job.toml"), job(precision, false)).unwrap();
        std::fs::write(directory.join("oracle.toml"), job("f64", true)).unwrap();
        let oracle = kpflow(1, directory, &["run", "oracle.toml", "--output", "oracle.h5"]).wait();
        let mut again = arguments.clone();
        if let (Some(after), true) = (killed, oracle.status.success()) {
            let run = kpflow(ranks, directory, &arguments);
            std::thread::sleep(Duration::from_millis(after as u64));
            run.kill();
            again.push("--resume");
        }
        let done = match oracle.status.success() {
            true => kpflow(ranks, directory, &again).wait(),
            false => oracle,
        };
        if done.status.success() {
            break;
        }
        // What is refused is left away; what had finished is of another job then.
        let Some(name) = refused(&done) else {
            outcome.wrong.push(format!("{}{}", done.stdout, done.stderr));
            return outcome;
        };
        outcome.refused += 1;
        let before = asked.len();
        asked.retain(|a| a.0 != name);
        assert!(asked.len() < before, "{name} is none of the job");
        let _ = std::fs::remove_file(directory.join("job.h5"));
    }
    let (found, right) = (Results::open(&directory.join("job.h5")), Results::open(&directory.join("oracle.h5")));
    let how = if killed.is_some() { ", killed and resumed" } else { "" };
    let rounding = if single { 3e-4 } else { 1e-9 };
    for (name, a) in &asked {
        let alone = |seed: usize| {
            std::fs::write(directory.join("other.toml"), head(precision, seed) + &a.table(name, false)).unwrap();
            let _ = std::fs::remove_file(directory.join("other.h5"));
            let done = kpflow(1, directory, &["run", "other.toml", "--output", "other.h5"]).wait();
            done.status.success().then(|| Results::open(&directory.join("other.h5")))
        };
        let misses = |other: &usize| {
            let off = |r: Results| compare(&r, &right, (name, a.quantity), (1.96, rounding)).is_some();
            alone(seed + other).is_none_or(off)
        };
        // What claims to be exact is not off by chance, nor what is so on these ranks only, or only after it was resumed.
        let by_chance = || {
            let (value, error) = (found.value(name), found.standard_error(name));
            let near = |r: Results| (r.value(name) - value).abs() <= rounding * value.abs();
            let sampled = value.is_finite() && error > rounding * value.abs();
            sampled && alone(seed).is_some_and(near) && (1..=REPEATS).filter(misses).count() <= MISSES
        };
        match compare(&found, &right, (name, a.quantity), (ERRORS, rounding)) {
            None => outcome.agree += 1,
            Some(_) if a.quantity != "eigenpairs" && by_chance() => outcome.unlucky += 1,
            Some(off) => {
                let Asked { operator, quantity, method, .. } = a;
                outcome
                    .wrong
                    .push(format!("{name}: {operator} {quantity} {method} {precision} on {ranks} ranks{how}: {off}"));
            }
        }
    }
    outcome
}

/// How a result is off, if it is.
fn compare(
    found: &Results,
    right: &Results,
    (name, quantity): (&str, &str),
    (errors, rounding): (f64, f64),
) -> Option<String> {
    if quantity == "eigenpairs" {
        let (f, r, residuals) = (found.eigenvalues(name), right.eigenvalues(name), found.read(name, "residuals"));
        let scale = r.first().copied().unwrap_or(0.0).abs();
        if !found.converged(name) {
            // An eigenvalue within the residual of each, whichever it is; none may be above the largest.
            let above = f.first().copied().unwrap_or(0.0) > scale * (1.0 + rounding);
            return above.then(|| format!("λ_1 = {:e} above the largest, {scale:e}", f[0]));
        }
        let off =
            f.iter().zip(&r).zip(&residuals).position(|((f, r), e)| (f - r).abs() > (1.01 * e + rounding) * scale);
        return off.map(|i| format!("λ_{i} = {:e} is {:e}; residual {:e}", f[i], r[i], residuals[i]));
    }
    let (f, r, error) = (found.value(name), right.value(name), found.standard_error(name));
    let bound = errors * error + rounding * r.abs();
    // An error that is not known is infinite, and bounds nothing.
    (!f.is_finite() || (f - r).abs() > bound)
        .then(|| format!("{f:e} ± {error:e}, and the oracle says {r:e} ({:.1} errors)", (f - r).abs() / error))
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>().expect("a number"));
    let limit = Duration::from_secs(arguments.next().unwrap_or(600));
    let given = arguments.next();
    let begun = Instant::now();
    let mut seed = given.unwrap_or_else(|| std::process::id().into());
    let (mut jobs, mut agree, mut unlucky, mut refused, mut wrong) = (0, 0, 0, 0, 0);
    while begun.elapsed() < limit {
        let directory = tempfile::tempdir().expect("a directory");
        // A run that does not end is one more that is wrong.
        let outcome = catch_unwind(|| one(seed, directory.path())).unwrap_or_else(|_| Outcome {
            wrong: vec!["does not end, or leaves what cannot be read".into()],
            ..Outcome::default()
        });
        (jobs, agree, refused) = (jobs + 1, agree + outcome.agree, refused + outcome.refused);
        unlucky += outcome.unlucky;
        if !outcome.wrong.is_empty() {
            wrong += outcome.wrong.len();
            eprintln!("seed {seed}: {}\n  kept: {}", outcome.wrong.join("\n  "), directory.keep().display());
        }
        seed += 1;
    }
    println!(
        "{jobs} jobs: {agree} analyses agree, {unlucky} do with other seeds, {refused} were refused, {wrong} are wrong; the next seed is {seed}"
    );
    ExitCode::from(u8::from(wrong > 0))
}
