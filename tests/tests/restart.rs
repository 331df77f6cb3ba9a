//! A job that is killed at any instant goes on where it was, on any number of ranks, and comes to the same numbers.

use kpflow_tests::{assert_all_near, command, finished, kpflow, program, Background, Golden, Job, Results};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Name, operator, quantity, further keys.
const TEN: [[&str; 4]; 10] = [
    ["samples", "ntk", "trace", "method = \"hutchinson\"\nrtol = 0\nmax_matvecs = 48"],
    ["sketch", "ntk", "trace", "method = \"hutchpp\"\nrtol = 0\nmax_matvecs = 60"],
    ["nystrom", "parameter", "trace", "method = \"xnystrace\"\nrtol = 0\nmax_matvecs = 36"],
    ["modes", "ntk", "eigenpairs", "method = \"block_krylov\"\nrtol = 1e-3\nmax_matvecs = 160\ncount = 4"],
    ["many", "parameter", "eigenpairs", "method = \"block_krylov\"\nrtol = 0.1\nmax_matvecs = 100\ncount = 3"],
    ["logs", "ntk", "log_det", "method = \"lanczos\"\nrtol = 0\nmax_matvecs = 96"],
    ["singular", "propagator", "singular_triplets", "rtol = 0.1\nmax_matvecs = 100\ncount = 2"],
    ["pairs", "ntk", "effective_rank", "method = \"one_sided\"\nrtol = 0\nmax_matvecs = 32"],
    ["single", "propagator_gram", "trace", "method = \"per_trajectory_xnystrace\"\nrtol = 0\nmax_matvecs = 32"],
    ["window", "ntk", "frobenius", "method = \"hutchpp\"\nrtol = 0\nmax_matvecs = 36\nwindow = [0, 20]"],
];

fn ten() -> Job {
    let job = Job::new(Golden::open("gru_paper").tables()).line("[output]\ncheckpoint = 0");
    TEN.iter().fold(job, |job, [name, operator, quantity, rest]| job.analysis(name, operator, quantity, rest))
}

/// All that an analysis found, but vectors.
fn numbers(results: &Results) -> HashMap<String, Vec<f64>> {
    let mut all = HashMap::new();
    for [name, _, quantity, _] in TEN {
        for dataset in ["value", "eigenvalues", "singular_values"] {
            if results.group(name).link_exists(dataset) {
                all.insert(format!("{name}/{dataset}"), results.read(name, dataset));
            }
        }
        if !quantity.starts_with("eigen") && !quantity.starts_with("sing") {
            all.insert(format!("{name}/standard_error"), results.read(name, "standard_error"));
        }
        all.insert(format!("{name}/matvecs"), vec![results.count(name, "matvecs") as f64]);
    }
    all
}

/// The same numbers whatever happened; of Krylov's, as far as they are known.
fn assert_same(found: &Results, expected: &HashMap<String, Vec<f64>>) {
    for (what, value) in numbers(found) {
        assert_all_near(&what, &value, &expected[&what], 1e-10);
    }
}

/// 12 kills, or as many as the environment variable KPFLOW_KILLS says.
#[test]
fn killed_at_random_instants() {
    let kills = std::env::var("KPFLOW_KILLS").map_or(12, |k| k.parse().unwrap());
    let whole = ten();
    program(); // If it has to be built, that is no part of what a run takes: kills would come long after the end.
    let clock = Instant::now();
    let results = whole.run(1);
    let seconds = clock.elapsed().as_secs_f64();
    let expected = numbers(&results);
    let mut state = 1u64;
    let mut random = || {
        // Splitmix64 (Steele, Lea and Flood 2014).
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) as f64 / u64::MAX as f64
    };
    let (mut done, mut jobs, mut runs, mut spared) = (0, 0, 0, 0);
    while done < kills {
        let job = ten().flag("--resume");
        let mut said: HashMap<String, usize> = HashMap::new();
        loop {
            let ranks = [1, 3, 1, 2, 1, 1][runs % 6];
            runs += 1;
            let mut arguments = job.arguments();
            if ranks == 2 {
                arguments.extend(["--grid".into(), "1x2".into()]);
            }
            let mut run = Background::start(command(ranks, &arguments));
            let until = Duration::from_secs_f64(random() * 0.6 * seconds);
            let clock = Instant::now();
            while run.running() && (clock.elapsed() < until || done == kills) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let ended = !run.running();
            let text = if ended { run.wait().success() } else { run.kill() };
            for line in text.lines() {
                *said.entry(line.split(':').next().unwrap().into()).or_default() += 1;
            }
            if job.path("results.h5").exists() {
                job.results().names(); // which opens
            }
            if ended {
                break;
            }
            done += 1;
        }
        jobs += 1;
        assert!(said.values().all(|&n| n == 1), "an analysis was done twice: {said:?}");
        let results = job.results();
        assert_eq!((results.text("status"), results.names().len()), ("complete".into(), TEN.len()));
        assert_same(&results, &expected);
        spared +=
            TEN.iter().map(|a| results.count(a[0], "matvecs") - results.count(a[0], "matvecs_computed")).sum::<i64>();
        let left: Vec<_> = std::fs::read_dir(job.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(left.iter().all(|n| !n.to_string_lossy().contains("partial")), "{left:?}");
    }
    let whole: i64 = TEN
        .iter()
        .map(|a| whole.results().count(a[0], "matvecs") - whole.results().count(a[0], "matvecs_computed"))
        .sum();
    println!("{done} kills in {runs} runs of {jobs} jobs; {spared} products not computed again");
    assert!(spared > whole * jobs, "nothing that had been written down was used");
}

fn long() -> Job {
    Job::new(Golden::open("gru_paper").tables()).analysis("quick", "parameter", "trace", "method = \"exact\"").analysis(
        "long",
        "ntk",
        "eigenpairs",
        "method = \"block_krylov\"\nrtol = 1e-12\nmax_matvecs = 400\ncount = 4",
    )
}

/// Both signals, from one rank to three and from two to one: the state is kept however long it is until the next time it would be written.
#[test]
fn asked_to_end() {
    let whole = long();
    let whole = whole.run(1).eigenvalues("long");
    for (signal, before, after) in [("TERM", 1, 3), ("USR1", 2, 1), ("USR1", 1, 1)] {
        let job = long();
        let mut run = Background::start(command(before, &job.arguments()));
        let path = job.path("results.h5");
        while run.running() && finished(&path).is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(400));
        run.send(signal);
        let done = run.wait();
        assert_eq!((done.status.code(), done.errors().len()), (Some(1), 1), "{}", done.stderr);
        for word in ["results.h5: SIG", signal, "[[analysis]] long", "--resume"] {
            assert!(done.errors()[0].contains(word), "{}", done.stderr);
        }
        let left = Results::open(&path);
        assert_eq!((left.text("status"), left.names()), ("running".into(), vec!["quick".into()]));
        drop(left);

        let job = job.flag("--resume");
        let text = job.attempt(after).success();
        assert!(!text.contains("quick"), "{text}");
        let found = job.results();
        assert_all_near("the resumed eigenvalues", &found.eigenvalues("long"), &whole, 1e-10);
        let (spent, computed) = (found.count("long", "matvecs"), found.count("long", "matvecs_computed"));
        assert!(computed < spent, "{computed} of {spent} products after SIG{signal} on {before}");
        assert!(!job.path("results.h5.partial").exists());
    }
}

/// A journal of other weights is not read, although the job's text is the same.
#[test]
fn other_weights_are_another_job() {
    let job = long().line("[output]\ncheckpoint = 0");
    let weights = kpflow_tests::golden("gru_paper.safetensors");
    let text = std::fs::read_to_string(job.write()).unwrap();
    let own = Job::new(text.replace(weights.to_str().unwrap(), "own.safetensors"));
    let mut bytes = std::fs::read(&weights).unwrap();
    std::fs::write(own.path("own.safetensors"), &bytes).unwrap();
    let mut run = Background::start(command(1, &own.arguments()));
    while run.running() && !own.path("results.h5.partial").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(300));
    run.kill();
    // The sign of the last weight.
    *bytes.last_mut().unwrap() ^= 0x80;
    std::fs::write(own.path("own.safetensors"), &bytes).unwrap();
    // What had finished is of the other weights, too: it is made again.
    let own = own.flag("--redo");
    own.attempt(1).success();
    let found = own.results();
    assert_eq!(found.count("long", "matvecs"), found.count("long", "matvecs_computed"));
}

/// Large tensors are in a file a rank, and read as one.
#[test]
fn parts_read_as_one() {
    let job = |parts: &str| {
        Job::new(Golden::open("gru").tables()).line(&format!("[output]\nparts = {parts}")).analysis(
            "modes",
            "ntk",
            "eigenpairs",
            "method = \"dense\"\nvectors = true\ncount = 3",
        )
    };
    let (whole, parts) = (job("256"), job("0"));
    let whole = whole.run(1).read("modes", "eigenvectors");
    // One of five ranks has no trajectory.
    for (ranks, grid, expected) in [(1, "1x1", 1), (4, "2x2", 2), (3, "3x1", 3), (5, "5x1", 4)] {
        let mut arguments = parts.arguments();
        arguments.extend(["--grid".into(), grid.into()]);
        kpflow(ranks, &arguments).success();
        let found = parts.results();
        assert_eq!(found.group("modes").dataset("eigenvectors").unwrap().shape(), [3, 4, 6, 5]);
        let vectors = found.read("modes", "eigenvectors");
        for (one, other) in vectors.chunks(120).zip(whole.chunks(120)) {
            let sign = one.iter().zip(other).map(|(a, b)| a * b).sum::<f64>().signum();
            let same: Vec<f64> = one.iter().map(|x| sign * x).collect();
            assert_all_near("an eigenvector in parts", &same, other, 1e-8);
        }
        let files = std::fs::read_dir(parts.path("results.h5.parts")).unwrap().count();
        assert_eq!(files, expected);
    }
    // What is missing is no number.
    std::fs::remove_file(parts.path("results.h5.parts/modes.eigenvectors.000003.h5")).unwrap();
    let vectors = parts.results().read("modes", "eigenvectors");
    assert_eq!(vectors.iter().filter(|x| x.is_nan()).count(), 3 * 30);
    // A new run takes the old one's parts away.
    parts.run(1);
    assert_eq!(std::fs::read_dir(parts.path("results.h5.parts")).unwrap().count(), 1);
}
