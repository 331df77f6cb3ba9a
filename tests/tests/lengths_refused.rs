//! Lengths and masks that say something else, and trials of different length in what is no array: refused with a line that says what would be right.

use hdf5::types::VarLenArray;
use kpflow_tests::{append, kind_job, Job};
use std::path::Path;

fn numbers(path: &Path, name: &str, shape: &[usize], data: &[f64]) {
    let file = append(path);
    let array = ndarray::ArrayD::from_shape_vec(shape.to_vec(), data.to_vec()).unwrap();
    file.new_dataset_builder().with_data(&array).create(name).unwrap();
}

#[test]
fn what_is_wrong_is_said() {
    let base = |data: &str| {
        let text = std::fs::read_to_string(kind_job("gru_lengths").write()).unwrap();
        let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with("lengths")).collect();
        Job::new(format!("{}\n{data}\n", lines.join("\n"))).analysis("t", "ntk", "trace", "")
    };
    let ones = |t: usize| (0..7).map(move |i| f64::from(u8::from(i < t)));
    let mask: Vec<f64> = [3, 7, 5, 2, 5].into_iter().flat_map(ones).collect();
    let with = |k: usize, x: f64| {
        let mut mask = mask.clone();
        mask[k] = x;
        mask
    };
    let cases: [(&str, &[usize], Vec<f64>, &str); 12] = [
        (
            "lengths",
            &[5],
            vec![3.0, 7.0, 5.5, 2.0, 5.0],
            "holds 5.5 for trajectory 2; a length is a whole number from 1 to 7",
        ),
        ("lengths", &[5], vec![3.0, 0.0, 5.0, 2.0, 5.0], "holds 0 for trajectory 1"),
        ("lengths", &[5], vec![3.0, -2.0, 5.0, 2.0, 5.0], "holds -2 for trajectory 1"),
        ("lengths", &[5], vec![3.0, 7.0, 5.0, 8.0, 5.0], "holds 8 for trajectory 3"),
        ("lengths", &[4], vec![3.0; 4], "has shape [4]; lengths are [5]"),
        ("lengths", &[5, 1], vec![3.0; 5], "has shape [5, 1]; lengths are [5]"),
        (
            "mask",
            &[5, 7],
            with(3, 0.5),
            "holds 0.5 for trajectory 0; a mask is 1 up to a trajectory's end and 0 behind it",
        ),
        ("mask", &[5, 7], with(5, 1.0), "is 0 at step 3 of trajectory 0 and 1 again at step 5"),
        ("mask", &[5, 7], with(0, 0.0), "is 0 at the first step of trajectory 0 and 1 at step 1"),
        ("mask", &[5, 7], [vec![0.0; 7], mask[7..].to_vec()].concat(), "is 0 at all steps of trajectory 0"),
        ("mask", &[5, 6], vec![1.0; 30], "has shape [5, 6]; a mask of these inputs is [5, 7]"),
        ("mask", &[4, 7], vec![1.0; 28], "its first axis should be 5"),
    ];
    for (key, shape, data, words) in cases {
        let job = base(&format!("{key} = \"ends.h5\""));
        numbers(&job.path("ends.h5"), key, shape, &data);
        job.refused_on(&[1, 2], &["ends.h5", words]);
    }
    let job = base("mask = \"ends.h5\"");
    numbers(&job.path("ends.h5"), "mask", &[5, 7], &mask);
    let (a, b) = (job.run(1).value("t"), kind_job("gru_lengths").analysis("t", "ntk", "trace", "").run(1).value("t"));
    assert_eq!(a, b, "a mask says what lengths say");
    let job = kind_job("gru_lengths").analysis("t", "ntk", "trace", "window = [1, 3]");
    job.run(1);
    let text = std::fs::read_to_string(kind_job("gru_lengths").write()).unwrap();
    let job = Job::new(text).line("[[analysis]]\nname = \"t\"\nquantity = \"trace\"\nwindow = [7, 8]");
    job.refused_on(&[1], &["window = [7, 8] goes beyond the 7 steps"]);
}

/// A window behind the end of all trajectories has nothing in it.
#[test]
fn a_window_behind_all_ends() {
    let text = std::fs::read_to_string(kind_job("gru_lengths").write()).unwrap();
    let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with("lengths")).collect();
    let job = Job::new(format!("{}\nlengths = \"l.h5\"\n", lines.join("\n")));
    numbers(&job.path("l.h5"), "lengths", &[5], &[3.0, 4.0, 2.0, 1.0, 4.0]);
    let job = job.analysis("t", "ntk", "trace", "window = [4, 6]");
    job.refused_on(&[1, 2], &["window = [4, 6] is behind the end of every trajectory; the longest has 4 steps"]);
}

/// Lists of trials are named as such, with what to do.
#[test]
fn ragged_data_is_named() {
    let model = kind_job("gru_lengths");
    let text = std::fs::read_to_string(model.write()).unwrap();
    let model = text.split("[data]").next().unwrap();
    let job =
        |inputs: &str| Job::new(format!("{model}[data]\ninputs = \"{inputs}\"\n")).analysis("t", "ntk", "trace", "");
    let padded = "pad the trials with zeros to one array [B, T, n_in] and give each one's steps as [data] lengths";
    let lists = job("x.h5");
    {
        let file = kpflow_tests::create(lists.path("x.h5"));
        let trials: Vec<VarLenArray<f32>> = (1..4).map(|n| VarLenArray::from_slice(&vec![0.5; 3 * n])).collect();
        file.new_dataset_builder().with_data(&trials).create("inputs").unwrap();
    }
    lists.refused_on(&[1, 2], &["x.h5: dataset /inputs is of rows of different length (ragged)", padded]);
    let group = job("x.h5:/trials");
    {
        let file = kpflow_tests::create(group.path("x.h5"));
        let trials = file.create_group("trials").unwrap();
        for steps in 2..5 {
            let data = ndarray::Array2::<f64>::zeros((steps, 3));
            trials.new_dataset_builder().with_data(&data).create(format!("trial_{steps}").as_str()).unwrap();
        }
    }
    group.refused_on(&[1], &["/trials is a group of 3 datasets of different length", padded]);
    let root = job("x.h5");
    for steps in 2..5 {
        numbers(&root.path("x.h5"), &format!("trial_{steps}"), &[steps, 3], &vec![0.5; 3 * steps]);
    }
    root.refused_on(&[1], &["its root is a group of 3 datasets of different length", padded]);
    let alike = job("x.h5:/trials");
    {
        let file = kpflow_tests::create(alike.path("x.h5"));
        let trials = file.create_group("trials").unwrap();
        for i in 0..3 {
            let data = ndarray::Array2::<f64>::zeros((4, 3));
            trials.new_dataset_builder().with_data(&data).create(format!("{i}").as_str()).unwrap();
        }
    }
    alike.refused_on(&[1], &["has no dataset /trials: it is a group; name one of its datasets /trials/0, /trials/1"]);
    let object = job("x.npy");
    let header = format!("{:<117}\n", "{'descr': '|O', 'fortran_order': False, 'shape': (5,), }");
    let bytes = [b"\x93NUMPY\x01\x00v\x00", header.as_bytes(), b"a pickle"].concat();
    std::fs::write(object.path("x.npy"), bytes).unwrap();
    object.refused_on(&[1, 2], &["x.npy: is of objects, such as trials of different length (ragged)", padded]);
}
