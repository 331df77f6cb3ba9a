//! The page: headline numbers, figures, the runs.

use super::draw::Drawing;
use super::figure::Figure;
use super::figures::{groups, Group, Section, Stage};
use super::style::{sheet, Ink};
use super::text::{bytes, count, digits, escape, operator, time, with_error, with_interval};
use crate::analysis::shown::{Number, Row};
use crate::results::read::{Analysis, Results};
use std::fmt::Write;

/// What the head of every page says, by which it is known again.
pub const GENERATOR: &str = "<meta name=\"generator\" content=\"kpflow ";

/// The whole page.
pub fn page(stages: &[Stage], sections: &[Section], drawn: &[Vec<(&Figure, Drawing)>]) -> String {
    let models: Vec<&str> = distinct(stages.iter().map(|s| s.results.model.as_str()));
    let title = format!("kpflow: {}", models.join(", "));
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         {GENERATOR}{}\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n<header>\n<h1>{}</h1>\n<p class=\"sub\">{}</p>\n",
        env!("CARGO_PKG_VERSION"),
        escape(&title),
        sheet(),
        escape(&heading(stages)),
        escape(&subtitle(stages)),
    );
    html += &links(sections);
    html += "</header>\n<main>\n";
    html += &warnings(stages);
    let glance = usize::from(sections.first().is_some_and(|s| s.title == "At a glance"));
    let mut number = 0;
    for (section, figures) in sections.iter().zip(drawn).take(glance) {
        html += &figures_of(section, figures, &mut number);
    }
    html += &numbers(stages);
    for (section, figures) in sections.iter().zip(drawn).skip(glance) {
        html += &figures_of(section, figures, &mut number);
    }
    html += "<section id=\"runs\">\n<h2>The runs</h2>\n";
    html += &runs(stages);
    for (i, stage) in stages.iter().enumerate() {
        html += &run(stage, i, stages.len());
    }
    html + "</section>\n</main>\n</body>\n</html>\n"
}

fn distinct<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for x in all {
        if !found.contains(&x) {
            found.push(x);
        }
    }
    found
}

fn heading(stages: &[Stage]) -> String {
    let models = distinct(stages.iter().map(|s| s.results.model.as_str())).join(", ");
    match stages {
        [one] => format!("{models}: {}", one.label),
        [first, .., last] => format!("{models}: {} to {}", first.label, last.label),
        [] => models,
    }
}

fn subtitle(stages: &[Stage]) -> String {
    let Some(first) = stages.first() else { return String::new() };
    let shape = |r: &Results| {
        let [b, t, n] = r.shape;
        format!("{b} trajectories × {t} steps × {n} numbers of state, {} parameters", count(r.parameters))
    };
    let same = stages.iter().all(|s| shape(&s.results) == shape(&first.results));
    let files = if stages.len() == 1 { String::new() } else { format!("{} result files. ", stages.len()) };
    format!("{files}{}.", if same { shape(&first.results) } else { "Their sizes differ; see the runs below".into() })
}

fn id(title: &str) -> String {
    title.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

fn links(sections: &[Section]) -> String {
    let link = |id: &str, title: &str| format!("<a href=\"#{id}\">{}</a>\n", escape(title));
    let glance = usize::from(sections.first().is_some_and(|s| s.title == "At a glance"));
    let of = |s: &Section| link(&id(s.title), s.title);
    let first: String = sections.iter().take(glance).map(of).collect();
    let rest: String = sections.iter().skip(glance).map(of).collect();
    format!(
        "<nav aria-label=\"Sections\">\n{first}{}{rest}{}</nav>\n",
        link("numbers", "Numbers"),
        link("runs", "The runs")
    )
}

fn figures_of(section: &Section, figures: &[(&Figure, Drawing)], number: &mut usize) -> String {
    let mut html = format!("<section id=\"{}\">\n<h2>{}</h2>\n", id(section.title), escape(section.title));
    if !section.lead.is_empty() {
        let _ = writeln!(html, "<p class=\"sub\">{}</p>", escape(section.lead));
    }
    html += "<div class=\"figures\">\n";
    for (figure, drawing) in figures {
        *number += 1;
        html += &figure.html(&format!("f{number}"), drawing);
    }
    html + "</div>\n</section>\n"
}

/// What the reader should know before trusting the numbers: each sentence once, before anything else.
fn warnings(stages: &[Stage]) -> String {
    let all = distinct(stages.iter().flat_map(|s| s.results.warnings.iter().map(String::as_str)));
    let items: String = all.iter().map(|w| format!("<li class=\"not\">{}</li>\n", escape(w))).collect();
    match all.len() {
        0 => String::new(),
        _ => format!("<section id=\"warnings\">\n<h2>Warnings</h2>\n<ul>\n{items}</ul>\n</section>\n"),
    }
}

/// The scalars: a row a quantity, a column a file.
fn numbers(stages: &[Stage]) -> String {
    let head = |s: &Stage| format!("<th scope=\"col\">{}</th>", escape(&s.label));
    let heads: String = stages.iter().map(head).collect();
    let rows: String = groups(stages).iter().flat_map(|g| rows(g, stages)).collect();
    let rows = match rows.is_empty() {
        true => format!("<tr><td class=\"t\" colspan=\"{}\">No analysis had finished.</td></tr>", stages.len() + 1),
        false => rows,
    };
    format!(
        "<section id=\"numbers\">\n<h2>Numbers</h2>\n<p class=\"sub\">± one standard error, in brackets the interval of 95 % where that is not symmetric; nothing where the method is exact. \
         A star: not as good as the job asked for.</p>\n<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">quantity</th>{heads}</tr></thead>\n\
         <tbody>\n{rows}</tbody></table></div>\n</section>\n"
    )
}

/// The rows of one analysis.
fn rows(group: &Group<'_>, stages: &[Stage]) -> Vec<String> {
    let cell = |(i, text): (usize, &String)| {
        let found = group.members.iter().find(|m| m.0 == i && !m.2.converged && !text.is_empty());
        let star = found.map_or("", |_| " <span class=\"not\" title=\"not converged\">*</span>");
        format!("<td>{}{star}</td>", escape(text))
    };
    let row = |(what, texts): (String, Vec<String>)| {
        let cells: String = texts.iter().enumerate().map(cell).collect();
        let (what, name) = (escape(&what), escape(group.name));
        format!("<tr><th scope=\"row\">{what} <span class=\"op\">{name}</span></th>{cells}</tr>\n")
    };
    number_rows(group, stages).into_iter().map(row).collect()
}

/// The numbers of one analysis: what each is, and it as text, a file each; those that no file has are left out.
pub fn number_rows(group: &Group<'_>, stages: &[Stage]) -> Vec<(String, Vec<String>)> {
    let row = |what: &str, cell: &dyn Fn(&Analysis) -> String| {
        let of = |i: usize| group.members.iter().find(|m| m.0 == i).map_or(String::new(), |m| cell(m.2));
        let texts: Vec<String> = (0..stages.len()).map(of).collect();
        texts.iter().any(|t| !t.is_empty()).then(|| (group.what(what), texts))
    };
    let number = |r: &Row, a: &Analysis| {
        let output = group.output(r.of);
        let error = output.and_then(|o| o.error).unwrap_or_default();
        let interval = output.and_then(|o| a.list(o.interval?).try_into().ok());
        match (r.number, a.list(r.of)) {
            (Number::Scalar, _) => with_interval(a.scalar(r.of), a.scalar(error), interval),
            (Number::First, list) => list.first().map_or(String::new(), |x| digits(*x, 7)),
            (Number::Only, [one]) => with_error(Some(*one), a.list(error).first().copied()),
            (Number::Only, _) => String::new(),
        }
    };
    match group.known {
        Some(quantity) => quantity.rows.iter().filter_map(|r| row(r.what, &|a| number(r, a))).collect(),
        None => row(&group.title_of_quantity(), &|a| with_interval(a.value(), a.standard_error(), a.interval()))
            .into_iter()
            .collect(),
    }
}

/// What the runs needed: a row a property, a column a file.
fn runs(stages: &[Stage]) -> String {
    let or = |x: Option<u64>, say: fn(u64) -> String| x.map_or("—".to_string(), say);
    type Say<'a> = &'a dyn Fn(&Results) -> String;
    let rows: [(&str, Say<'_>); 14] = [
        ("file", &|r| r.path.display().to_string()),
        ("status", &|r| if r.complete { "complete".into() } else { "not complete: what had finished is shown".into() }),
        ("model", &|r| r.model.clone()),
        ("parameters", &|r| count(r.parameters)),
        ("state [B, T, N]", &|r| format!("{} × {} × {}", r.shape[0], r.shape[1], r.shape[2])),
        ("precision, seed", &|r| format!("{}, {}", r.precision, r.seed)),
        ("ranks × threads", &|r| format!("{} × {}", r.ranks, r.threads)),
        ("grid, trajectories × probes", &|r| r.grid.map_or("—".into(), |g| format!("{} × {}", g[0], g[1]))),
        ("started", &|r| r.started.replace('T', " ").replace('Z', " UTC")),
        ("time", &|r| if r.complete { time(r.wall_seconds) } else { "—".into() }),
        ("memory of a rank at most", &|r| or(r.peak_memory, bytes)),
        ("sent by a rank at most", &|r| or(r.bytes_sent, bytes)),
        ("collective calls of a rank", &|r| or(r.messages, count)),
        ("kpflow", &|r| r.kpflow_version.clone()),
    ];
    let mut html = String::from("<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\"></th>");
    for (i, s) in stages.iter().enumerate() {
        let ink = Ink::of(i, stages.len()).css();
        let _ = write!(
            html,
            "<th scope=\"col\"><span class=\"swatch\" style=\"background:{ink}\"></span>{}</th>",
            escape(&s.label)
        );
    }
    html += "</tr></thead>\n<tbody>\n";
    for (name, say) in rows {
        let cells: String = stages.iter().map(|s| format!("<td>{}</td>", escape(&say(&s.results)))).collect();
        let _ = writeln!(html, "<tr><th scope=\"row\">{}</th>{cells}</tr>", escape(name));
    }
    html + "</tbody></table></div>\n"
}

/// One run: its analyses and its job.
fn run(stage: &Stage, index: usize, count: usize) -> String {
    let r = &stage.results;
    let open = if count == 1 { " open" } else { "" };
    let mut html = format!(
        "<h3>{}</h3>\n<details{open}><summary>Analyses: how, how many products, how long</summary>\n<div class=\"scroll\"><table>\n\
         <thead><tr><th scope=\"col\">analysis</th><th scope=\"col\">operator</th><th scope=\"col\">quantity</th>\
         <th scope=\"col\">method</th><th scope=\"col\">status</th><th scope=\"col\">products</th>\
         <th scope=\"col\">computed here</th><th scope=\"col\">time</th></tr></thead>\n<tbody>\n",
        escape(&stage.label)
    );
    for a in &r.analyses {
        let status =
            if a.converged { escape(&a.status) } else { format!("<span class=\"not\">{}</span>", escape(&a.status)) };
        let _ = writeln!(
            html,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{status}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&a.name),
            escape(operator(&a.operator)),
            escape(&a.quantity.replace('_', " ")),
            escape(&a.method),
            a.matvecs,
            a.computed,
            time(a.seconds)
        );
    }
    let _ = writeln!(
        html,
        "</tbody></table></div></details>\n<details{open}><summary>The job</summary><pre id=\"job{index}\">{}</pre></details>",
        escape(r.job.trim())
    );
    html
}
