//! What was found beside the code that asked for it, in a cell of a notebook: numbers, and the figure of the page.

use super::cells::base64;
use super::figure::Figure;
use super::figures::{groups, of_one, Group, Stage};
use super::page::number_rows;
use super::text::{escape, time};
use crate::results::read::{Analysis, Results};
use std::fmt::Write;

/// The analyses of results as a part of any page: a table of their numbers, and the figures that the report draws of
/// them; of a single analysis the first is in sight, and the others are folded.
///
/// It needs nothing but itself, and leaves the page around it as it is: no script, no style, no name. Pictures are on
/// white paper, as in the files of `kpflow report --figures`, whatever the scheme of the page.
pub fn part(results: Results) -> String {
    let stages = [Stage { label: "value".into(), results }];
    let analyses = &stages[0].results.analyses;
    let mut html = String::from("<div>\n");
    html += &numbers(&stages);
    if let [one] = &analyses[..] {
        html += &arrays(one);
    }
    let figures = of_one(&stages);
    let (shown, folded) = figures.split_at(usize::from(analyses.len() == 1).min(figures.len()));
    html.extend(shown.iter().map(picture));
    if !folded.is_empty() {
        let more = if shown.is_empty() { "Figures" } else { "More figures" };
        let all: String = folded.iter().map(picture).collect();
        let _ = writeln!(html, "<details><summary>{more}</summary>\n{all}</details>");
    }
    html + "</div>\n"
}

/// A row a number; the first of an analysis tells how it was found.
fn numbers(stages: &[Stage]) -> String {
    let mut html = String::from("<table>\n<thead><tr>");
    for head in ["quantity", "value", "method", "products", "time", "status"] {
        let _ = write!(html, "<th scope=\"col\">{head}</th>");
    }
    html += "</tr></thead>\n<tbody>\n";
    html.extend(groups(stages).iter().flat_map(|group| rows(group, stages)));
    html + "</tbody></table>\n"
}

fn rows(group: &Group<'_>, stages: &[Stage]) -> Vec<String> {
    let Some((_, _, a)) = group.members.first() else { return Vec::new() };
    // What has no number of its own has a row all the same.
    let mut numbers = number_rows(group, stages);
    if numbers.is_empty() {
        numbers.push((group.what(&group.title_of_quantity()), vec![String::new()]));
    }
    let how = [a.method.clone(), a.matvecs.to_string(), time(a.seconds), a.status.clone()];
    let row = |(i, (what, values)): (usize, (String, Vec<String>))| {
        // A name that is only the quantity's says nothing.
        let name = if i == 0 && a.name != a.quantity { format!("{}: ", a.name) } else { String::new() };
        let how = if i == 0 { how.clone() } else { Default::default() };
        let cells: String = values.iter().chain(&how).map(|c| format!("<td>{}</td>", escape(c))).collect();
        format!("<tr><th scope=\"row\">{}</th>{cells}</tr>\n", escape(&format!("{name}{what}")))
    };
    numbers.into_iter().enumerate().map(row).collect()
}

/// The arrays that there are, as who holds the result finds them.
fn arrays(a: &Analysis) -> String {
    let small = a.arrays().filter(|(_, array)| !array.shape.is_empty()).map(|(name, array)| (name, &array.shape));
    let history = (!a.history.is_empty()).then(|| ("history", vec![a.history.len(), 3]));
    let all = small.chain(a.tensors.iter().map(|(name, shape)| (*name, shape)));
    let all = all.map(|(name, shape)| (name, shape.clone())).chain(history).filter(|(name, _)| *name != "interval");
    let said: Vec<String> = all.map(|(name, shape)| format!("<code>{name}</code> {shape:?}")).collect();
    match said.is_empty() {
        true => String::new(),
        false => format!("<p><small>{}</small></p>\n", said.join(", ")),
    }
}

/// A figure as an image: the words of its title and caption are its other text.
fn picture(figure: &Figure) -> String {
    let svg = base64(figure.svg(&figure.draw()).as_bytes());
    let (title, caption) = (escape(&figure.title), escape(&figure.caption));
    format!(
        "<figure>\n<img alt=\"{title}. {caption}\" src=\"data:image/svg+xml;base64,{svg}\">\n\
         <figcaption><b>{title}.</b> {caption}</figcaption>\n</figure>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{EIGENPAIRS, TRACE};
    use crate::results::read::Array;

    fn results(analysis: Analysis, arrays: &[(&str, &[usize], &[f64])]) -> Results {
        let arrays = arrays
            .iter()
            .map(|(name, shape, data)| ((*name).to_string(), Array { shape: shape.to_vec(), data: data.to_vec() }));
        let analyses = vec![analysis.given(arrays.collect()).unwrap()];
        Results { shape: [1, 2, 3], analyses, ..Results::default() }
    }

    fn of(name: &str, quantity: &str) -> Analysis {
        let mut a = Analysis::default();
        (a.name, a.operator, a.quantity) = (name.into(), "ntk".into(), quantity.into());
        (a.method, a.status, a.converged) = ("exact".into(), "exact".into(), true);
        a
    }

    #[test]
    fn an_analysis_has_its_numbers_and_its_figure() {
        let html = part(results(of("modes", EIGENPAIRS.name), &[("eigenvalues", &[3], &[4.0, 2.0, 1.0])]));
        assert!(html.contains("<th scope=\"row\">modes: "), "{html}");
        assert!(html.contains("<td>exact</td>") && html.contains("<code>eigenvalues</code> [3]"), "{html}");
        assert_eq!(html.matches("<img ").count(), 2);
        let folded = html.split_once("<details>").unwrap().1;
        assert!(!folded.contains("Spectrum of NTK") && folded.contains("Cumulative energy of NTK"), "{html}");
    }

    #[test]
    fn a_number_has_its_error_and_no_figure() {
        let arrays = [("value", &[][..], &[4.0][..]), ("standard_error", &[], &[0.5]), ("interval", &[2], &[3.0, 5.0])];
        let html = part(results(of(TRACE.name, TRACE.name), &arrays));
        assert!(html.contains("<th scope=\"row\">trace of NTK</th><td>4.00 ± 0.50</td>"), "{html}");
        assert!(!html.contains("<img") && !html.contains("<code>"), "{html}");
        assert!(part(Results::default()).contains("<tbody>\n</tbody>"));
    }

    #[test]
    fn names_that_a_page_must_not_take() {
        let html = part(results(of("<script>", TRACE.name), &[("value", &[], &[4.0])]));
        assert!(html.contains("&lt;script&gt;: trace of NTK") && !html.contains("<script"), "{html}");
    }
}
