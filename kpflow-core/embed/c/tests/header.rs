//! The committed header is what cbindgen makes of the source. `KPFLOW_WRITE_HEADER=1 cargo test -p kpflow-c` writes it.

use std::path::Path;

#[test]
fn the_header_is_what_cbindgen_generates() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(here.join("cbindgen.toml")).unwrap();
    let written_out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("calls.rs");
    std::fs::write(&written_out, ["f32", "f64"].map(|t| calls(here, t)).concat()).unwrap();
    let sources = [here.join("src/lib.rs"), written_out];
    let builder = sources.iter().fold(cbindgen::Builder::new().with_config(config), |b, source| b.with_src(source));
    let mut generated = Vec::new();
    builder.generate().unwrap().write(&mut generated);
    let (generated, path) = (String::from_utf8(generated).unwrap(), here.join("include/kpflow.h"));
    if std::env::var_os("KPFLOW_WRITE_HEADER").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "kpflow.h is not what cbindgen makes; write it with KPFLOW_WRITE_HEADER=1 cargo test -p kpflow-c"
    );
}

/// The body of the macro that makes the calls of a precision, with its arguments put in.
fn calls(here: &Path, precision: &str) -> String {
    let source = std::fs::read_to_string(here.join("src/calls.rs")).unwrap();
    let body = source.split_once(") => {\n").unwrap().1.split_once("\n    };\n").unwrap().0;
    ["sizes", "linearize", "state", "apply", "trace", "probe"]
        .iter()
        .fold(body.to_string(), |text, name| text.replace(&format!("${name}("), &format!("kpflow_{name}_{precision}(")))
        .replace("$t", precision)
}
