//! What fails in the middle of a run: one line that says what would be right, an end within seconds on all ranks, and what had finished is kept.

use kpflow_tests::{command, finished, program, root, Background, Done, Golden, Job, Results};
use std::process::Command;
use std::time::{Duration, Instant};

/// An analysis that is done at once, and one that takes a while.
fn job() -> Job {
    Job::new(Golden::open("gru_paper").tables())
        .line("[output]\ncheckpoint = 0")
        .analysis("quick", "parameter", "trace", "method = \"exact\"")
        .analysis("long", "ntk", "trace", "method = \"hutchinson\"\nrtol = 0\nmax_matvecs = 400")
}

/// Asserts that a run failed with one line, which has all of `words`.
#[track_caller]
fn failed(done: &Done, ranks: usize, words: &[&str]) {
    let all = format!("on {ranks} ranks, {}:\n{}{}", done.status, done.stdout, done.stderr);
    assert_eq!((done.status.code(), done.errors().len()), (Some(1), 1), "{all}");
    assert!(words.iter().all(|w| done.errors()[0].contains(w)), "{all}");
    assert!(!all.contains("panicked") && !all.contains("internal"), "{all}");
}

#[test]
fn a_directory_that_vanishes() {
    for ranks in [1, 3] {
        let job = job();
        let (here, there) = (job.path("out"), job.path("gone"));
        std::fs::create_dir(&here).unwrap();
        let path = here.join("results.h5");
        let mut arguments = job.arguments();
        arguments.extend(["--output".into(), path.display().to_string()]);
        let mut run = Background::start(command(ranks, &arguments));
        while run.running() && finished(&path).is_empty() {
            std::thread::sleep(Duration::from_millis(2));
        }
        std::fs::rename(&here, &there).unwrap();
        failed(&run.wait(), ranks, &["results.h5", "its directory must exist"]);
        assert_eq!(Results::open(&there.join("results.h5")).names(), ["quick"]);
    }
}

/// The command with its results on a disk of this size, in a name space of its own; `None` where this machine allows none.
fn on_a_small_disk(job: &Job, ranks: usize, size: &str) -> Option<Command> {
    let disk = job.path("disk");
    std::fs::create_dir_all(&disk).unwrap();
    let mount = format!("mount -t tmpfs -o size={size} none {}", disk.display());
    if !Command::new("unshare").args(["-rm", "sh", "-c", &mount]).status().is_ok_and(|s| s.success()) {
        eprintln!("no file system can be mounted here");
        return None;
    }
    let kept = job.path("kept.h5");
    let mut arguments = job.arguments();
    arguments.extend(["--output".into(), disk.join("results.h5").display().to_string()]);
    let run = command(ranks, &arguments);
    let script = format!("{mount} && \"$@\"; code=$?; cp {}/results.h5 {}; exit $code", disk.display(), kept.display());
    let mut all = Command::new("unshare");
    all.args(["-rm", "sh", "-c", &script, "sh"]).arg(run.get_program()).args(run.get_args());
    Some(all)
}

#[test]
fn a_disk_that_is_full() {
    let vectors = "method = \"block_krylov\"\nrtol = 1e-1\nmax_matvecs = 40\ncount = 3\nvectors = true";
    for ranks in [1, 3] {
        // The state of 400 products does not fit, the results do: the run goes on.
        let small = job();
        let Some(run) = on_a_small_disk(&small, ranks, "1m") else { return };
        let done = Background::start(run).wait();
        let notes = done.stderr.lines().filter(|l| l.starts_with("warning:")).count();
        assert!(done.status.success() && notes == 1 && done.errors().is_empty(), "{}{}", done.stdout, done.stderr);
        assert!(done.stderr.contains("No space left on device") || ranks > 1, "{}", done.stderr);
        assert_eq!(Results::open(&small.path("kept.h5")).names(), ["long", "quick"]);
        // Nor do the vectors: what had finished is kept.
        let large = job().analysis("vectors", "ntk", "eigenpairs", vectors);
        let Some(run) = on_a_small_disk(&large, ranks, "400k") else { return };
        let done = Background::start(run).wait();
        failed(&done, ranks, &["results.h5: cannot be written: No space left on device", "have room"]);
        assert!(done.errors()[0].len() < 250, "{}", done.stderr);
        let kept = Results::open(&large.path("kept.h5"));
        assert_eq!((kept.names(), kept.text("status")), (vec!["long".into(), "quick".into()], "running".into()));
    }
}

/// Beyond `ulimit -f` a process is killed by a signal unless it looks.
#[test]
fn a_limit_of_the_file_size() {
    let job = job();
    let mut run = Background::start(command(1, &job.arguments()));
    let path = job.path("results.h5");
    while run.running() && finished(&path).is_empty() {
        std::thread::sleep(Duration::from_millis(2));
    }
    // Later than MPI, which needs large files itself.
    let limited = Command::new("prlimit").args(["--fsize=4096", "--pid", &run.id().to_string()]).status().unwrap();
    assert!(limited.success());
    let done = run.wait();
    failed(&done, 1, &["results.h5: cannot be written: File too large"]);
    assert_eq!(done.stderr.lines().filter(|l| l.starts_with("warning:")).count(), 1, "{}", done.stderr);
    assert_eq!(job.results().names(), ["quick"]);
}

/// One rank does not find the weights: it was started in another directory.
#[test]
fn a_file_that_one_rank_cannot_read() {
    let text = std::fs::read_to_string(job().write()).unwrap();
    let weights = kpflow_tests::golden("gru_paper.safetensors");
    let job = Job::new(text.replace(weights.to_str().unwrap(), "own.safetensors"));
    job.write();
    for (directory, whole) in [("a", true), ("b", false)] {
        std::fs::create_dir(job.path(directory)).unwrap();
        std::fs::copy(job.path("job.toml"), job.path(directory).join("job.toml")).unwrap();
        if whole {
            std::fs::copy(&weights, job.path(directory).join("own.safetensors")).unwrap();
        }
    }
    for order in [["a", "b"], ["b", "a"]] {
        let mut run = Command::new(root().join("scripts/mpirun.sh"));
        for (i, (directory, ranks)) in order.iter().zip(["2", "1"]).enumerate() {
            run.args(if i > 0 { &[":"][..] } else { &[] });
            run.args(["-n", ranks, "-wdir"]).arg(job.path(directory)).arg(program()).args(["run", "job.toml"]);
        }
        let clock = Instant::now();
        let done = Background::start(run).wait();
        let all = format!("{}{}", done.stdout, done.stderr);
        assert!(!done.status.success() && done.errors().len() == 1, "{all}");
        assert!(done.errors()[0].contains("own.safetensors: cannot be read"), "{all}");
        assert!(clock.elapsed() < Duration::from_secs(5), "it took {:?}", clock.elapsed());
    }
}

/// One rank alone has an error that the others do not share, and which nothing they do together tells them: they would wait for it forever.
#[test]
fn a_rank_that_fails_by_itself() {
    let job = job();
    job.write();
    for lone in [0, 1, 2] {
        let mut run = Command::new(root().join("scripts/mpirun.sh"));
        for rank in 0..3 {
            run.args(if rank > 0 { &[":"][..] } else { &[] });
            run.args(["-n", "1", "-wdir"]).arg(job.path(".")).arg(program());
            run.args(if rank == lone { ["run", "--outptu"] } else { ["run", "job.toml"] });
        }
        let clock = Instant::now();
        let done = Background::start(run).wait();
        let all = format!("rank {lone}: {}{}", done.stdout, done.stderr);
        assert_eq!((done.status.code(), done.errors().len()), (Some(2), 1), "{all}");
        assert!(done.errors()[0].contains("--outptu"), "{all}");
        assert!(clock.elapsed() < Duration::from_secs(15), "it took {:?}", clock.elapsed());
    }
}

/// The state is finite, and so is K; the products of P overflow.
#[test]
fn numbers_that_overflow_on_the_way() {
    let job = || {
        let job = Job::new("[model]\nkind = \"leaky_rnn\"\ndt = 1.0\nactivation = \"linear\"\nweights = \"w.safetensors\"\n[data]\ninputs = \"x.npy\"\n");
        let job = job.analysis("quick", "parameter", "trace", "method = \"exact\"").analysis(
            "modes",
            "ntk",
            "eigenpairs",
            "method = \"block_krylov\"\ncount = 2",
        );
        let (n, steps) = (4, 600);
        let identity = |x: f64| (0..n * n).map(|i| if i % (n + 1) == 0 { x } else { 0.0 }).collect::<Vec<f64>>();
        let bytes = |x: &[f64]| x.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let tensors = [
            ("weight_ih", bytes(&identity(1.0)), vec![n, n]),
            ("weight_hh", bytes(&identity(8.0)), vec![n, n]),
            ("bias_ih", bytes(&vec![0.0; n]), vec![n]),
            ("bias_hh", bytes(&vec![0.0; n]), vec![n]),
        ];
        let views = tensors.iter().map(|(name, data, shape)| {
            (*name, safetensors::tensor::TensorView::new(safetensors::Dtype::F64, shape.clone(), data).unwrap())
        });
        safetensors::serialize_to_file(views, None, &job.path("w.safetensors")).unwrap();
        let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': (3, {steps}, {n}), }}");
        let header = format!("{header:<117}\n");
        let mut npy = b"\x93NUMPY\x01\x00".to_vec();
        npy.extend((header.len() as u16).to_le_bytes());
        npy.extend(header.as_bytes());
        npy.extend(bytes(&vec![0.0; 3 * steps * n]));
        std::fs::write(job.path("x.npy"), npy).unwrap();
        job
    };
    for ranks in [1, 3] {
        let job = job();
        let done = job.attempt(ranks);
        failed(&done, ranks, &["in [[analysis]] modes", "the operator's products leave the range"]);
        assert_eq!(job.results().names(), ["quick"]);
    }
}

/// Several processes that do not speak with each other would each do the whole job, and write the same file.
#[test]
fn alone_is_not_one_of_several() {
    let serial = program().ends_with("kpflow-serial"); // scripts/test.sh runs this on the program that was built so
    let launchers =
        [("PMI_SIZE", "PMI_RANK"), ("SLURM_STEP_NUM_TASKS", "SLURM_STEP_ID"), ("OMPI_COMM_WORLD_SIZE", "A")];
    // Open MPI itself refuses what is not its own mpirun's.
    for (size, other) in &launchers[..if serial { 3 } else { 2 }] {
        let mut run = Command::new(program());
        run.args(["run", "job.toml"]).env(size, "2").env(other, "0");
        let done = Background::start(run).wait();
        assert_eq!((done.status.code(), done.errors().len()), (Some(2), 1), "{}", done.stderr);
        let line = &done.errors()[0];
        assert!(line.contains(&format!("2 processes ({size})")) && line.contains("MPI"), "{line}");
    }
}
