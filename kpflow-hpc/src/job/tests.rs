use super::Job;
use crate::analysis::{Method, Operator, TRACE};
use std::path::Path;

const GOOD: &str =
    "[model]\nkind = 'gru'\nweights = 'm.safetensors'\nprefix = 'rnn.'\n[data]\ninputs = 'x.h5:/inputs'\n\
    [[analysis]]\nname = 'a'\nquantity = 'trace'\n";

fn parse(text: &str) -> Result<Job, String> {
    Job::parse(Path::new("dir/job.toml"), text.into()).map_err(|e| {
        assert_eq!(e.exit_code(), 2);
        e.to_string()
    })
}

#[test]
fn defaults_and_relative_paths() {
    let job = parse(GOOD).unwrap();
    assert_eq!(job.model.weights, Path::new("dir/m.safetensors"));
    assert_eq!(
        (job.inputs[0].1.path.as_path(), job.inputs[0].1.dataset.as_deref()),
        (Path::new("dir/x.h5"), Some("/inputs"))
    );
    assert_eq!((job.output.as_path(), job.seed, job.block), (Path::new("dir/results.h5"), 0, None));
    let a = &job.analyses[0];
    assert_eq!((a.operator, a.quantity, a.method, a.max_matvecs), (Operator::Ntk, &TRACE, Method::AUTO, 1000));
}

#[test]
fn every_mistake_is_named_with_what_would_be_right() {
    let cases = [
        (GOOD.replace("prefix", "prefx"), "in [model]: unknown key \"prefx\"; did you mean \"prefix\"?"),
        (GOOD.replace("'gru'", "'grru'"), "unknown kind \"grru\"; did you mean \"gru\"?"),
        (GOOD.replace("'gru'", "'neural_ode'"), "dt is missing"),
        (GOOD.replace("'gru'", "'conv'"), "layers is a list of tables"),
        (GOOD.replace("'gru'", "'conv'\nlayers = [{ type = 'pool' }]"), "layers, number 0: unknown type \"pool\""),
        (GOOD.replace("'gru'", "'conv'\nlayers = [{ type = 'maxpool' }]"), "number 0: size is missing"),
        (
            GOOD.replace("'gru'", "'conv'\nlayers = [{ type = 'conv', stride = [1, 0] }]"),
            "stride is a whole number from 1",
        ),
        (
            GOOD.replace("'gru'", "'conv'\nlayers = [{ type = 'relu', stride = 2 }]"),
            "number 0: stride is not for type = \"relu\"; it is for conv, maxpool, avgpool",
        ),
        (
            GOOD.replace("'gru'", "'conv'\nlayers = [{ type = 'conv', size = 3 }]"),
            "size is not for type = \"conv\"; it is for maxpool, avgpool",
        ),
        (
            GOOD.replace("'gru'", "'conv'\nlayers = [{ type = 'batchnorm', eps = -1.0 }]"),
            "number 0: eps = -1 is outside",
        ),
        (GOOD.replace("'gru'", "'bert'\neps = inf"), "in [model]: eps = inf is outside"),
        (GOOD.replace("'gru'", "'bert'\neps = nan"), "in [model]: eps = NaN is outside"),
        (GOOD.replace("'gru'", "'gru'\nstate = []"), "state is an empty list"),
        (GOOD.replace("'gru'", "'gru'\nstate = 'h'\nreadout = 'h'"), "only one of them"),
        (GOOD.replace("'gru'", "'gru'\nparameters = [1]"), "parameters is a list of strings"),
        (GOOD.replace("'gru'", "'mlp'\nactivation = 'gel'"), "did you mean \"gelu\"?"),
        (GOOD.replace("'gru'", "'rnn'\nactivation = 'gelu'"), "\"tanh\" or \"relu\""),
        (
            GOOD.replace("'gru'", "'mlp'").replace("[[", "mask = 'm.npy'\n[["),
            "mask is not for kind = \"mlp\"; it is for bert, and rnn, leaky_rnn, gru and lstm",
        ),
        (
            GOOD.replace("'gru'", "'mlp'").replace("[[", "lengths = 'l.npy'\n[["),
            "lengths is not for kind = \"mlp\"; it is for rnn, leaky_rnn, gru and lstm; run trials of each length",
        ),
        (
            GOOD.replace("'gru'", "'bert'").replace("[[", "lengths = 'l.npy'\n[["),
            "gru and lstm; a bert has mask, which says what may be read",
        ),
        (
            GOOD.replace("'gru'", "'onnx'").replace("[[", "lengths = 'l.npy'\n[["),
            "let the graph read a mask as an input",
        ),
        (
            GOOD.replace("[[", "mask = 'm.npy'\nlengths = 'l.npy'\n[["),
            "mask and lengths both say where trajectories end; one of them",
        ),
        (GOOD.replace("[[", "length = 'l.npy'\n[["), "did you mean \"lengths\"?"),
        (GOOD.replace("'trace'", "'eigsh'"), "unknown quantity \"eigsh\"; here it is \"eigenpairs\""),
        (GOOD.replace("'trace'", "'participation_ratio'"), "here it is \"effective_rank\""),
        (GOOD.replace("'trace'", "'eigenpairs'\nk = 5"), "unknown key \"k\"; here it is \"count\""),
        (GOOD.replace("'trace'", "'eigenpairs'\nwhich = 'LM'"), "here it is \"largest\""),
        (
            format!("{GOOD}k = 5\n"),
            "unknown key \"k\"; here it is \"count\", which is not for this; it is one of name, operator, quantity, method, \
             rtol, max_matvecs, window, units, average, side",
        ),
        (format!("{GOOD}foo = 5\n"), "\"foo\"; it is one of name, operator, quantity, method, rtol, max_matvecs, window"),
        (format!("{GOOD}random_state = 5\n"), "here it is seed of [compute], in Python seed of linearize; it is one"),
        (format!("{GOOD}[compute]\ndtype = 'float32'\n"), "unknown key \"dtype\"; here it is \"precision\""),
        (format!("{GOOD}[compute]\ndevice = 'cuda'\n"), "there is no device to choose"),
        (format!("{GOOD}[compute]\nn_jobs = 2\n"), "here it is --threads N on the command line"),
        (GOOD.replace("'trace'", "'trase'"), "did you mean \"trace\"?"),
        (GOOD.replace("'trace'", "'alignment'"), "with is missing"),
        (GOOD.replace("'trace'", "'trace'\noperator = 'propagator'"), "is for operator = ntk"),
        (GOOD.replace("'trace'", "'singular_triplets'"), "is for operator = propagator, constraint"),
        (format!("{GOOD}axis = 'time'\n"), "axis means nothing for quantity = \"trace\"; it is for marginal"),
        (GOOD.replace("'trace'", "'marginal'"), "axis is missing"),
        (GOOD.replace("'trace'", "'marginal'\naxis = 'tim'"), "did you mean \"time\"?"),
        (GOOD.replace("'trace'", "'marginal'\naxes = ['time', 'time']"), "one or two different ones"),
        (format!("{GOOD}window = [5, 5]\n"), "from first to before end"),
        (format!("{GOOD}units = [1, 2, 1]\n"), "different units"),
        (format!("{GOOD}units = [-1]\n"), "integers from 0"),
        (format!("{GOOD}window = [0, 2]\nmethod = 'exact'\n"), "for all of the state"),
        (format!("{GOOD}side = 'forward'\n"), "side is for method = \"one_sided\""),
        (GOOD.replace("'trace'", "'log_det'\nnoise = 0.0"), "noise = 0 is not a positive number"),
        (GOOD.replace("quantity = 'trace'", ""), "quantity is missing"),
        (GOOD.replace("'a'", "'a b'"), "a name is letters"),
        (GOOD.replace("'a'", "'..'"), "a name is letters"),
        (GOOD.replace("'m.safetensors'", "3"), "weights is an integer; it is a string"),
        (GOOD.replace("[data]", "[dat]"), "did you mean \"data\"?"),
        (format!("{GOOD}[[analysis]]\nname = 'a'\nquantity = 'norm'\n"), "two analyses are named \"a\""),
        (format!("{GOOD}max_matvecs = 0\n"), "max_matvecs = 0 is too small"),
        (format!("{GOOD}rtol = -1.0\n"), "rtol = -1"),
        (format!("{GOOD}rtol = nan\n"), "rtol = NaN"),
        (format!("{GOOD}method = 'block_krylov'\n"), "it is one of auto, exact"),
        (
            GOOD.replace("kind = 'gru'", "kind = 'gru'\nheads = 2"),
            "heads is not for kind = \"gru\"; it is for transformer",
        ),
        (format!("{GOOD}oper"), "line 10 is not TOML"),
        (GOOD.split("[[").next().unwrap().into(), "there is no [[analysis]]"),
        (format!("{GOOD}[compute]\nblock = 'big'\n"), "it is \"auto\" or an integer"),
        (format!("{GOOD}[compute]\ngrid = {{ trajectories = 0, probes = 2 }}\n"), "at least 1"),
        (GOOD.replace("kind = 'gru'", "kind = 'gru'\ndt = 0.1"), "dt is not for kind = \"gru\""),
        (GOOD.replace("'gru'", "'leaky_rnn'"), "dt is missing"),
        (String::new(), "[model] is missing"),
    ];
    for (text, expected) in cases {
        let error = parse(&text).unwrap_err();
        assert!(error.starts_with("dir/job.toml: ") && error.contains(expected), "{error}\nlacks {expected}");
        assert!(!error.contains('\n'));
    }
}

#[test]
fn precision_by_the_names_that_numpy_has() {
    for (word, precision) in crate::job::Precision::SAID {
        let job = Job::parse(Path::new("dir/job.toml"), format!("{GOOD}[compute]\nprecision = '{word}'\n")).unwrap();
        assert_eq!(job.precision, *precision);
    }
}

#[test]
fn no_prefix_of_a_job_panics() {
    let text = format!("{GOOD}[compute]\ngrid = {{ trajectories = 4, probes = 1 }}\nblock = 7 # é\n");
    let cuts = (0..text.len()).filter(|&end| text.is_char_boundary(end));
    assert!(cuts.filter(|&end| parse(&text[..end]).is_ok()).count() < text.len());
}
