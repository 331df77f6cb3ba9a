use super::*;
use crate::job::Precision;

const JOB: &str = r#"
[model]
kind = "gru"
weights = "gru_h0.safetensors"
[data]
inputs = "gru_h0.h5:/inputs"
initial_state = "gru_h0.h5:/initial_state"
"#;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/job.toml")
}

fn begin(text: &str) -> Result<(Session<f64>, Facts)> {
    let (session, facts) = Session::begin(&golden(), text.parse().unwrap(), Some(2))?;
    let facts = facts.recv().unwrap()?;
    Ok((session, facts))
}

#[test]
fn products_and_analyses_agree() {
    let (session, facts) = begin(JOB).unwrap();
    let [b, t, n] = facts.shape;
    let count = b * t * n;
    assert_eq!((facts.kind, facts.operators.len(), Precision::F64.name()), ("gru", 6, "f64"));
    // The trace is the sum of what unit vectors give of themselves.
    let mut trace = 0.0;
    for i in 0..count {
        let mut x = vec![0.0; count];
        x[i] = 1.0;
        let pending = session.ask(Ask::Apply { operator: Operator::Ntk, adjoint: false, x, y: Vec::new() });
        let Ok(Answer::Product { y, .. }) = pending.answer.recv().unwrap() else { panic!() };
        trace += y[i];
    }
    let analysis = "quantity = \"trace\"\noperator = \"ntk\"\nmethod = \"exact\"".parse().unwrap();
    let Ok(Answer::Found(record, warnings)) = session.ask(Ask::Analyse(analysis, None)).answer.recv().unwrap() else {
        panic!()
    };
    let found = record.value.unwrap();
    assert!((found - trace).abs() < 1e-10 * trace && warnings.is_empty(), "{found} {trace}");
    let Ok(Answer::State(state)) = session.ask(Ask::State).answer.recv().unwrap() else { panic!() };
    assert_eq!(state.len(), count);
}

#[test]
fn what_is_wrong_is_said_and_the_session_goes_on() {
    let (session, facts) = begin(JOB).unwrap();
    let ask = |text: &str| session.ask(Ask::Analyse(text.parse().unwrap(), None)).answer.recv().unwrap();
    let said = ask("quantity = \"trase\"").unwrap_err().to_string();
    assert!(said.contains("unknown quantity \"trase\"; did you mean \"trace\"?"), "{said}");
    let x = vec![1.0; 3];
    let pending = session.ask(Ask::Apply { operator: Operator::Ntk, adjoint: false, x, y: Vec::new() });
    assert_eq!(pending.answer.recv().unwrap().unwrap_err().exit_code(), 2);
    // What is stopped before it begins is never begun: the way of its answer ends.
    let count = facts.shape.iter().product();
    let busy = session.ask(Ask::Analyse("quantity = \"norm\"".parse().unwrap(), None));
    let (operator, adjoint, y) = (Operator::Propagator, true, Vec::new());
    let pending = session.ask(Ask::Apply { operator, adjoint, x: vec![1.0; count], y });
    pending.stop.ask();
    assert!(busy.answer.recv().unwrap().is_ok());
    let _ = pending.answer.recv();
    assert!(ask("quantity = \"trace\"\noperator = \"parameter\"").is_ok());
    let missing = begin(&JOB.replace("gru_h0.safetensors", "gru_h1.safetensors")).err().unwrap().to_string();
    assert!(missing.contains("gru_h1.safetensors: cannot be read"), "{missing}");
    let several = JOB.replace("\"gru_h0.safetensors\"", "[\"gru_h0.safetensors\", \"b.safetensors\"]");
    assert!(begin(&several).err().unwrap().to_string().contains("several checkpoints"));
}

#[test]
fn work_ends_where_it_is_asked_to() {
    let (session, _) = begin(JOB).unwrap();
    let analysis = "quantity = \"trace\"\nmethod = \"hutchinson\"\nrtol = 0.0\nmax_matvecs = 100000000";
    let pending = session.ask(Ask::Analyse(analysis.parse().unwrap(), None));
    thread::sleep(std::time::Duration::from_millis(200));
    let seen = pending.progress.get().unwrap().look().unwrap();
    assert!(seen.done > 0 && seen.total == 100_000_000 && seen.unit == "products", "{seen:?}");
    let clock = Instant::now();
    pending.stop.ask();
    let ended = pending.answer.recv().unwrap().unwrap_err();
    assert!(matches!(ended.kind, Kind::Halted(_)), "{ended:?}");
    assert!(clock.elapsed().as_secs_f64() < 1.0 && pending.progress.get().unwrap().look().is_none());
    assert!(session.ask(Ask::State).answer.recv().unwrap().is_ok());
}
