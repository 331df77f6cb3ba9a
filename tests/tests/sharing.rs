//! Weights so large that the ranks of a node hold them once between them.

use kpflow_tests::{assert_near, Job};
use safetensors::tensor::{serialize_to_file, Dtype, TensorView};

/// Units; the recurrent weights alone are 18 MB in double precision.
const UNITS: usize = 1500;

/// Numbers between −`scale` and `scale`, without a pattern that matters.
fn numbers(count: usize, scale: f64) -> Vec<u8> {
    (0..count).flat_map(|i| ((i as f64 * 1.618).sin() * scale).to_le_bytes()).collect()
}

fn write(job: &Job, name: &str, tensors: &[(&str, &[usize], f64)]) {
    let data: Vec<Vec<u8>> = tensors.iter().map(|(_, shape, scale)| numbers(shape.iter().product(), *scale)).collect();
    let view = |shape: &[usize], data| TensorView::new(Dtype::F64, shape.to_vec(), data).unwrap();
    let views = tensors.iter().zip(&data).map(|((name, shape, _), data)| (*name, view(shape, data)));
    serialize_to_file(views, None, &job.path(name)).unwrap();
}

#[test]
fn large_weights_are_held_once_a_node() {
    let job = Job::new("[model]\nkind = \"rnn\"\nweights = \"w.safetensors\"\n[data]\ninputs = \"x.safetensors\"\n")
        .line("[compute]\nseed = 3\nblock = 4")
        .analysis("trace", "ntk", "trace", "method = \"hutchinson\"\nmax_matvecs = 8\nrtol = 0")
        .analysis("norm", "ntk", "frobenius", "method = \"hutchinson\"\nmax_matvecs = 8\nrtol = 0")
        .flag("--verbose");
    let scale = 1.0 / UNITS as f64;
    let weights: [(&str, &[usize], f64); 4] = [
        ("weight_ih_l0", &[UNITS, 2], 1.0),
        ("weight_hh_l0", &[UNITS, UNITS], scale),
        ("bias_ih_l0", &[UNITS], 0.1),
        ("bias_hh_l0", &[UNITS], 0.1),
    ];
    write(&job, "w.safetensors", &weights);
    write(&job, "x.safetensors", &[("inputs", &[3, 2, 2], 1.0)]);
    let of = |ranks: usize| {
        let done = job.attempt(ranks);
        let once = done.stderr.contains(&format!("the {ranks} ranks of this node hold the weights once between them"));
        done.success();
        (once, ["trace", "norm"].map(|a| job.results().value(a)))
    };
    let (_, alone) = of(1);
    // Containers may have next to no shared memory: then every rank has its own, and the numbers are the same.
    let room = std::process::Command::new("df").args(["--output=avail", "-B1", "/dev/shm"]).output().unwrap().stdout;
    let room: f64 = String::from_utf8_lossy(&room).lines().nth(1).unwrap_or("0").trim().parse().unwrap_or(0.0);
    for ranks in [2, 3] {
        let (once, found) = of(ranks);
        found.iter().zip(alone).for_each(|(&f, a)| assert_near(&format!("on {ranks} ranks"), f, a, 1e-10, a));
        if room > 1e9 {
            assert!(once, "{ranks} ranks do not share the weights");
        }
    }
}
