//! The 95 % interval beside every value: in result files, in what is printed, and in what compares them.

use kpflow_tests::{golden, kpflow, open_rw, Golden, Job};

/// Twelve analyses of a GRU; those of one operator share products.
fn job() -> Job {
    let case = Golden::open("gru");
    let n: usize = case.shape.iter().product();
    let job = Job::new(case.tables());
    let file = kpflow_tests::create(job.path("e.h5"));
    let e = ndarray::ArrayD::from_shape_vec(case.shape.to_vec(), case.read("probe")[..n].to_vec()).unwrap();
    file.new_dataset_builder().with_data(&e).create("e").unwrap();
    file.close().unwrap();
    let signal = job.path("e.h5").display().to_string();
    let other = golden("gru.other.safetensors").display().to_string();
    [
        ("hutchinson", "trace", "hutchinson", "", 8),
        ("hutchpp", "trace", "hutchpp", "", 12),
        ("nystrompp", "trace", "nystrompp", "", 8),
        ("dense", "trace", "dense", "", 8),
        ("norm", "frobenius", "hutchpp", "", 12),
        ("rank", "effective_rank", "hutchinson", "", 8),
        ("pairs", "effective_rank", "one_sided", "", 8),
        ("blocks", "blocks", "hutchinson", "", 4),
        ("diagonal", "diagonal", "hutchinson", "", 8),
        ("alignment", "alignment", "hutchinson", &format!("with = \"{other}\"\n"), 8),
        ("learn8", "learnability", "block_krylov", &format!("with = \"{signal}:/e\"\ncount = 3\n"), 8),
        ("learn17", "learnability", "block_krylov", &format!("with = \"{signal}:/e\"\ncount = 3\n"), 17),
    ]
    .iter()
    .fold(job, |job, (name, quantity, method, rest, budget)| {
        job.analysis(name, "ntk", quantity, &format!("{rest}method = \"{method}\"\nrtol = 0.0\nmax_matvecs = {budget}"))
    })
}

#[test]
fn every_value_has_an_interval() {
    let job = job();
    let results = job.run(1);
    for name in results.names() {
        let (value, error, ends) =
            (results.value(&name), results.standard_error(&name), results.read(&name, "interval"));
        let [low, high] = <[f64; 2]>::try_from(ends).unwrap();
        assert!(low <= value && value <= high, "{name}: {value} of [{low}, {high}]");
        let floor = match name.as_str() {
            "rank" | "pairs" => 1.0,
            "alignment" => -1.0,
            _ => 0.0,
        };
        assert!(low >= floor, "{name}: from {low}");
        if name == "dense" {
            assert_eq!((error, low, high), (0.0, value, value));
        } else {
            let budget: i64 = match name.as_str() {
                "hutchpp" | "norm" => 12,
                "blocks" => 4,
                "learn17" => 17,
                _ => 8,
            };
            assert!(results.count(&name, "matvecs") <= budget, "{name}: {} products", results.count(&name, "matvecs"));
        }
    }
    // Samples of squares leave more room above, and 1.96 errors are the wider half.
    let [low, high] = <[f64; 2]>::try_from(results.read("hutchinson", "interval")).unwrap();
    let (value, error) = (results.value("hutchinson"), results.standard_error("hutchinson"));
    assert!(high - value > 1.1 * (value - low) && (high - value - 1.96 * error).abs() < 1e-4 * error);
    assert!(results.read("alignment", "interval")[1] <= 1.0);
    drop(results);

    // A file of before is read, and agrees with itself.
    let (now, before) = (job.path("results.h5"), job.path("before.h5"));
    std::fs::copy(&now, &before).unwrap();
    let file = open_rw(&before);
    for name in file.group("analysis").unwrap().member_names().unwrap() {
        file.group(&format!("analysis/{name}")).unwrap().unlink("interval").unwrap();
    }
    file.close().unwrap();
    let files = [now.display().to_string(), before.display().to_string()];
    let said = kpflow(1, &["compare", &files[0], &files[1]]).success();
    assert!(!said.contains("DIFFERS"), "{said}");
    let page = job.path("page.html").display().to_string();
    kpflow(1, &["report", &files[0], &files[1], "--output", &page]).success();
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("in brackets the interval of 95 %"));
    let shown = kpflow(1, &["info", &files[0], "--json"]).success();
    assert!(shown.contains("\"interval\""), "{shown}");
}
