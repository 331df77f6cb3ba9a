//! A result file: what has been found so far.

use super::{table, thousands, Told};
use crate::error::Result;
use crate::journal::directory_of;
use crate::results::read::{Analysis, Results};
use crate::results::table::ends;
use crate::spelling::number_of;
use crate::words::seconds;
use serde_json::json;
use std::path::Path;

/// A value and its error, or the largest of several.
fn value(a: &Analysis) -> String {
    let leading = a.described().and_then(|q| q.leading());
    let several = leading.map(|list| a.list(list.name)).filter(|v| !v.is_empty());
    match (a.value(), a.standard_error(), several) {
        (Some(v), Some(e), _) if e > 0.0 => {
            format!("{v:.8e} ± {e:.1e}{}", ends(v, a.interval(), |x| format!("{x:.4e}")))
        }
        (Some(v), ..) => format!("{v:.12e}"),
        (None, _, Some(all)) => format!("{} from {:.6e} to {:.6e}", all.len(), all[0], all[all.len() - 1]),
        _ => String::new(),
    }
}

pub(super) fn results(path: &Path) -> Result<Told> {
    let r = Results::open(path)?;
    let [b, t, n] = r.shape;
    // A job that another version wrote may not be one for this: its analyses' names are enough.
    let asked: Vec<String> = r
        .job
        .parse::<toml::Table>()
        .ok()
        .and_then(|job| {
            let list = job.get("analysis")?.as_array()?.iter();
            Some(list.filter_map(|a| Some(a.get("name")?.as_str()?.to_string())).collect())
        })
        .unwrap_or_default();
    let left: Vec<&String> = asked.iter().filter(|a| r.analysis(a).is_none()).collect();
    let (done, all) = (r.analyses.len(), r.analyses.len() + left.len());
    let kept = directory_of(path).is_dir();
    let mut text = format!(
        "{}: kpflow {} results, {}\n",
        path.display(),
        r.kpflow_version,
        match r.complete {
            true => format!("complete: {all} analyses in {}", seconds(r.wall_seconds)),
            false => format!("not complete: {done} of {all} analyses"),
        }
    );
    if !r.complete {
        let next = left.first().map_or(String::new(), |a| format!("; {a} is next"));
        let state = if kept { ", some of whose products are kept" } else { "" };
        text += &format!("  kpflow run --resume goes on with it{next}{state}\n");
    }
    let grid = r.grid.filter(|g| g[1] > 1).map_or(String::new(), |g| format!(" ({} × {})", g[0], g[1]));
    text += &table(&[
        vec!["model".into(), format!("{}, {} parameters, {}", r.model, thousands(r.parameters as usize), r.precision)],
        vec!["state".into(), format!("[B, T, N] = [{b}, {t}, {n}]{}", if r.has_state { ", in the file" } else { "" })],
        vec![
            "run".into(),
            format!(
                "{}{grid} × {}, seed {}, started {}",
                number_of(r.ranks as usize, "rank"),
                number_of(r.threads as usize, "thread"),
                r.seed,
                r.started
            ),
        ],
    ]);
    r.warnings.iter().for_each(|w| text += &format!("warning: {w}\n"));
    let row = |a: &Analysis| {
        let what = format!("{} {}", a.operator, a.quantity);
        vec![
            a.name.clone(),
            what,
            a.method.clone(),
            value(a),
            format!("{} products", a.matvecs),
            seconds(a.seconds),
            a.status.clone(),
        ]
    };
    text += &table(&r.analyses.iter().map(row).collect::<Vec<_>>());
    text += "the job:\n";
    r.job.lines().for_each(|l| text += &format!("{}\n", format!("  {l}").trim_end()));
    let analyses = r.analyses.iter().map(|a| {
        json!({
            "name": a.name, "operator": a.operator, "quantity": a.quantity, "method": a.method, "converged": a.converged,
            "matvecs": a.matvecs, "matvecs_computed": a.computed, "seconds": a.seconds, "status": a.status,
            "memory": a.memory, "bytes_sent": a.bytes_sent,
            "value": a.value(), "standard_error": a.standard_error(), "interval": a.interval(),
            "arrays": a.arrays().map(|(name, x)| (name.to_string(), x.shape.clone().into())).collect::<serde_json::Map<_, _>>(),
        })
    });
    let json = json!({
        "file": path.display().to_string(), "format": "kpflow-results", "kpflow_version": r.kpflow_version,
        "status": if r.complete { "complete" } else { "running" }, "model": r.model, "parameters": r.parameters,
        "shape": r.shape, "seed": r.seed, "precision": r.precision, "ranks": r.ranks, "grid": r.grid, "threads": r.threads,
        "started": r.started, "wall_seconds": r.wall_seconds, "peak_memory": r.peak_memory, "state_kept": kept, "warnings": r.warnings,
        "analyses": analyses.collect::<Vec<_>>(), "analyses_left": left, "job": r.job,
    });
    Ok(Told { text, json })
}
