//! Damaged and odd graphs end with one line and status 2; the configuration space; what the user chooses by name.

use kpflow_tests::{assert_near, reference, Golden, Job};
use rten_onnx::onnx::{DataType, ModelProto};

fn model(name: &str) -> ModelProto {
    ModelProto::parse_buf(&std::fs::read(reference(&format!("onnx/{name}.onnx"))).unwrap()).unwrap()
}

/// Runs the graph `bytes` instead of the one of a reference case: one line that has all of `words`, and status 2.
#[track_caller]
fn refused(name: &str, bytes: &[u8], words: &[&str]) {
    let inputs = reference(&format!("onnx/{name}.h5"));
    let text = format!(
        "[model]\nkind = \"onnx\"\nweights = \"damaged.onnx\"\n[data]\ninputs = \"{}:/inputs\"\n",
        inputs.display()
    );
    let job = Job::new(text).analysis("t", "ntk", "trace", "");
    std::fs::write(job.path("damaged.onnx"), bytes).unwrap();
    job.refused_on(&[1], &[&["damaged.onnx"], words].concat());
}

#[test]
fn damaged_graphs_are_refused() {
    let whole = std::fs::read(reference("onnx/mlp.onnx")).unwrap();
    for len in [0, 1, 10, whole.len() / 2, whole.len() - 1] {
        refused("mlp", &whole[..len], &["is not an ONNX model"]);
    }
    // A length of 2⁶³, and one of almost all that a number of 64 bits can say.
    refused("mlp", &[0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0], &["cut short"]);
    refused("mlp", &[0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], &["cut short"]);
    // Graphs in graphs in graphs: the attribute of a node is a graph with a node with an attribute …
    let mut nested = vec![];
    for _ in 0..200 {
        for tag in [0x32, 0x2a, 0x0a] {
            let mut outer = vec![tag];
            let mut n = nested.len();
            while n > 127 {
                outer.push((n & 127) as u8 | 128);
                n >>= 7;
            }
            outer.push(n as u8);
            outer.extend(&nested);
            nested = outer;
        }
    }
    let mut bytes = vec![0x3a];
    let mut n = nested.len();
    while n > 127 {
        bytes.push((n & 127) as u8 | 128);
        n >>= 7;
    }
    bytes.push(n as u8);
    bytes.extend(nested);
    refused("mlp", &bytes, &["nested too deep"]);
}

#[test]
fn wrong_graphs_say_what_is_wrong() {
    let edit = |name: &str, f: &dyn Fn(&mut ModelProto), words: &[&str]| {
        let mut model = model(name);
        f(&mut model);
        refused(name, &model.write_buf().unwrap(), words);
    };
    let node = |m: &mut ModelProto, i: usize, f: &dyn Fn(&mut rten_onnx::onnx::NodeProto)| {
        f(&mut m.graph.as_mut().unwrap().node[i])
    };
    // A circle: the first node reads what the last one makes.
    edit(
        "mlp",
        &|m| {
            let last = m.graph.as_ref().unwrap().node.last().unwrap().output[0].clone();
            node(m, 0, &|n| n.input[0].clone_from(&last));
        },
        &["which nothing before it makes"],
    );
    edit("mlp", &|m| node(m, 0, &|n| n.op_type = Some("Frobnicate".into())), &["(Frobnicate)", "not in this version"]);
    edit("mlp", &|m| node(m, 0, &|n| n.domain = Some("my.own".into())), &["domain my.own"]);
    edit(
        "mlp",
        &|m| m.graph.as_mut().unwrap().initializer[0].data_type = Some(DataType::STRING),
        &["is of type STRING"],
    );
    edit("mlp", &|m| m.graph.as_mut().unwrap().initializer[0].data_type = Some(DataType::DOUBLE), &["has", "numbers"]);
    edit("mlp", &|m| m.graph.as_mut().unwrap().initializer[0].dims = vec![1 << 40, 1 << 40], &["which is no shape"]);
    edit("mlp", &|m| m.graph.as_mut().unwrap().initializer[0].dims = vec![-3, 2], &["which is no shape"]);
    edit("mlp", &|m| m.graph = None, &["it has no graph"]);
    edit(
        "gru",
        &|m| m.graph.as_mut().unwrap().output[0].name = Some("nobody".into()),
        &["output nobody that nothing makes"],
    );
}

/// A token that the table has no row for is an error of the rank that reads it, and of the whole job; never another row's numbers.
#[test]
fn tokens_beyond_the_table_are_refused() {
    let graph = reference("onnx/tokens.onnx");
    let text = format!(
        "[model]\nkind = \"onnx\"\nweights = \"{}\"\n[data]\ninputs = \"tokens.h5:/inputs\"\n",
        graph.display()
    );
    let job = Job::new(text).analysis("t", "ntk", "trace", "");
    let write = |token: f64| {
        let mut tokens = ndarray::Array2::from_shape_fn((3, 5), |(b, t)| ((3 * b + t) % 11) as f64);
        tokens[[2, 1]] = token;
        let file = kpflow_tests::create(job.path("tokens.h5"));
        file.new_dataset_builder().with_data(&tokens).create("inputs").unwrap();
        file.close().unwrap();
    };
    for token in [11.0, -1.0, 0.5] {
        write(token);
        let named = format!("names token {token} (they are 0 to 10)");
        job.refused_on(&[1, 3], &["tokens.onnx", "has 11 rows; trajectory 2", &named]);
    }
    write(10.0);
    job.run(3);
}

/// In the configuration space K is exactly ⊕ G ⊗ I: equal for all units of a site, nothing between units or sites.
#[test]
fn sites_are_the_kronecker_core() {
    let golden = Golden::open("gru");
    let [b, t, h] = golden.shape;
    let tables = golden.tables().replacen("[model]", "[model]\nstate = \"sites\"", 1);
    let k = Job::new(tables).analysis("k", "parameter", "matrix", "").run(2).read("k", "matrix");
    let (n, width) = (b * t * 6 * h, 3 * h);
    assert_eq!(k.len(), n * n);
    let scale = k.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    for (p, q) in (0..b * t).flat_map(|p| (0..b * t).map(move |q| (p, q))) {
        for (i, j) in (0..2 * width).flat_map(|i| (0..2 * width).map(move |j| (i, j))) {
            let entry = k[(p * 2 * width + i) * n + q * 2 * width + j];
            let first = (i / width) * width;
            let gram = k[(p * 2 * width + first) * n + q * 2 * width + first];
            assert_near("an entry of K", entry, if i == j { gram } else { 0.0 }, 1e-13, scale);
        }
    }
}

/// θ restricted to parts: their kernels add up to the whole; a readout's Gram matrix is the marginal of its matrix.
#[test]
fn parameters_and_readouts() {
    let golden = Golden::open("gru");
    let trace = |lines: &str| {
        let tables = golden.tables().replacen("[model]", &format!("[model]\n{lines}"), 1);
        Job::new(tables).analysis("t", "ntk", "trace", "").run(1).value("t")
    };
    let parts = trace("parameters = [\"*.weight_hh*\"]")
        + trace("parameters = [\"*.weight_ih*\"]")
        + trace("parameters = [\"*.bias*\"]");
    let whole = golden.reference("ntk/trace");
    assert_near("the parts of the trace", parts, whole, 1e-9, whole);
    let mlp = Golden::open("mlp_tanh").tables().replacen("[model]", "[model]\nreadout = \"a_3\"", 1);
    let results = Job::new(mlp)
        .analysis("m", "ntk", "matrix", "")
        .analysis("g", "ntk", "marginal", "axis = \"trajectory\"")
        .analysis("r", "ntk", "effective_rank", "")
        .run(1);
    let (matrix, gram) = (results.read("m", "matrix"), results.read("g", "matrix"));
    assert_eq!((matrix.len(), gram.len()), (48 * 48, 64));
    for (i, j) in (0..8).flat_map(|i| (0..8).map(move |j| (i, j))) {
        let sum = (0..6).map(|u| matrix[(i * 6 + u) * 48 + j * 6 + u]).sum::<f64>();
        assert_near("the Gram matrix over inputs", gram[i * 8 + j], sum, 1e-12, gram[0]);
    }
    assert_near("its effective rank", results.read("m", "effective_rank")[0], results.value("r"), 1e-9, 1.0);
}
