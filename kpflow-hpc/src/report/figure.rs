//! A figure: a picture, what it shows, and the numbers behind it.

use super::draw::{draw, Drawing};
use super::plot::Plot;
use super::style::themed;
use super::text::{escape, file_name};
use std::fmt::Write;

/// A table with more rows stays in the result file.
const ROWS: usize = 40;

/// What every SVG file says, by which it is known again.
pub const MARK: &str = "<metadata>kpflow report ";

/// The numbers behind a picture.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The heads of the columns.
    pub heads: Vec<String>,
    /// The cells.
    pub rows: Vec<Vec<String>>,
}

/// A figure of the page.
#[derive(Clone, Debug, Default)]
pub struct Figure {
    /// What it is called among the files of `--figures`: stage, analysis, what is drawn.
    pub name: Vec<String>,
    /// The heading.
    pub title: String,
    /// A sentence or two on how to read it.
    pub caption: String,
    /// The picture.
    pub plot: Plot,
    /// The numbers.
    pub table: Option<Table>,
}

impl Figure {
    /// The name of its file, without an ending.
    pub fn file_name(&self) -> String {
        let parts: Vec<String> = self.name.iter().filter(|p| !p.is_empty()).map(|p| file_name(p)).collect();
        parts.join("-")
    }

    /// Draws it.
    pub fn draw(&self) -> Drawing {
        draw(&self.plot)
    }

    /// The figure in the page.
    pub fn html(&self, id: &str, drawing: &Drawing) -> String {
        let (title, caption) = (escape(&self.title), escape(&self.caption));
        let class = if self.plot.wide { " class=\"wide\"" } else { "" };
        let mut html = format!("<figure id=\"{id}\"{class}>\n<h3>{title}</h3>\n");
        let open = format!(
            "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\n\
             <title id=\"{id}-t\">{title}</title>\n<desc id=\"{id}-d\">{caption}</desc>\n",
            drawing.size.0, drawing.size.1
        );
        // The drawing's own opening tag has a size in pixels and a name space, which a page does not need.
        let body = drawing.svg.find('>').map_or("", |i| &drawing.svg[i + 1..]);
        let body = themed(body).replace(" font-family=\"sans-serif\"", "").replace(" opacity=\"1\"", "");
        let _ = writeln!(html, "{open}{}<figcaption>{caption}</figcaption>", body.trim_start());
        if let Some(table) = self.table.as_ref().filter(|t| t.rows.len() <= ROWS && !t.rows.is_empty()) {
            let _ = writeln!(html, "<details><summary>Numbers</summary>{}</details>", table.html());
        }
        html + "</figure>\n"
    }

    /// The picture as a file of its own: with background, title and description.
    pub fn svg(&self, drawing: &Drawing) -> String {
        let head = format!(
            "\n{MARK}{}</metadata>\n<title>{}</title>\n<desc>{}</desc>\n<rect width=\"100%\" height=\"100%\" fill=\"#FFFFFF\"/>",
            env!("CARGO_PKG_VERSION"),
            escape(&self.title),
            escape(&self.caption)
        );
        let mut svg = drawing.svg.clone();
        let at = svg.find('>').map_or(0, |i| i + 1);
        svg.insert_str(at, &head);
        let large = format!("width=\"{}\" height=\"{}\"", drawing.size.0, drawing.size.1);
        let fine = super::draw::FINE as u32;
        svg.replacen(&large, &format!("width=\"{}\" height=\"{}\"", drawing.size.0 / fine, drawing.size.1 / fine), 1)
    }
}

impl Table {
    /// As HTML.
    pub fn html(&self) -> String {
        let row = |cells: &[String], tag: &str| -> String {
            cells.iter().map(|c| format!("<{tag}>{}</{tag}>", escape(c))).collect()
        };
        let body: String = self.rows.iter().map(|r| format!("<tr>{}</tr>\n", row(r, "td"))).collect();
        format!(
            "<div class=\"scroll\"><table><thead><tr>{}</tr></thead><tbody>\n{body}</tbody></table></div>",
            row(&self.heads, "th scope=\"col\"").replace("</th scope=\"col\">", "</th>")
        )
    }
}
