//! What a command says on standard error while it works: lines for people, or one JSON object a line (`--log json`).

use crate::error::Error;
use crate::words::utc;
use serde_json::{json, Map, Value};
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

static JSON: AtomicBool = AtomicBool::new(false);

/// Says everything as JSON objects from now on.
pub fn as_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// Whether everything is said as JSON objects.
pub fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// Says one event: its name and the time, then these fields.
pub fn emit(event: &str, fields: Value) {
    let mut all = Map::from_iter([
        ("event".to_string(), Value::from(event)),
        ("time".to_string(), Value::from(utc(SystemTime::now()))),
    ]);
    if let Value::Object(fields) = fields {
        all.extend(fields);
    }
    // One call a line: those of several threads do not mix.
    eprintln!("{}", Value::Object(all));
}

thread_local! {
    /// The warnings of this thread, while somebody keeps them.
    static KEPT: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Does something, and gives what it warned of on this thread in place of saying it.
pub fn keeping<R>(f: impl FnOnce() -> R) -> (R, Vec<String>) {
    let before = KEPT.replace(Some(Vec::new()));
    let done = f();
    (done, KEPT.replace(before).unwrap_or_default())
}

/// Says that something did not go as it should, and the run goes on.
pub fn warning(message: &str) {
    if KEPT.with_borrow_mut(|kept| kept.as_mut().map(|all| all.push(message.into())).is_some()) {
        return;
    }
    match is_json() {
        true => emit("warning", json!({ "message": message })),
        false => eprintln!("warning: {message}"),
    }
}

/// Says why the program ends.
pub fn error(e: &Error) {
    if is_json() {
        let file = e.file.as_ref().map(|f| f.display().to_string());
        let message = e.one_line();
        return emit("error", json!({ "file": file, "message": message, "exit_status": e.exit_code() }));
    }
    eprintln!("error: {e}");
}

/// Who speaks: one rank, and nobody under `--quiet`.
#[derive(Clone, Copy, Debug)]
pub struct Voice(pub bool);

impl Voice {
    /// Says a line to people, or an event to programs.
    pub fn say(self, event: &str, fields: impl FnOnce() -> Value, line: impl FnOnce() -> String) {
        match (self.0, is_json()) {
            (false, _) => {}
            (true, true) => emit(event, fields()),
            (true, false) => eprintln!("{}", line()),
        }
    }
}
