//! Colours and the style sheet.
//!
//! Pictures are drawn in the light colours. In the page each of them is a CSS variable, so that pictures follow the reader's scheme;
//! in a file of its own a picture keeps them.

/// A colour by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Axes and words.
    Text,
    /// Less important words.
    Faint,
    /// Grid lines.
    Grid,
    /// The paper.
    Paper,
    /// Words on a light cell of a matrix, in both schemes.
    Black,
    /// Words on a dark one.
    White,
    /// Data by itself, or one of several.
    Series(usize),
    /// One of many in an order: from 0 to 255.
    Order(u8),
}

/// Inks with their names in CSS, their light and their dark colours. Series: distinct for the colour-blind (after Okabe and Ito), of a
/// contrast of 3 and more against the paper.
pub const INKS: [(&str, Ink, [u8; 3], [u8; 3]); 12] = [
    ("ink", Ink::Text, [0x1d, 0x24, 0x2b], [0xe4, 0xe9, 0xee]),
    ("faint", Ink::Faint, [0x5c, 0x67, 0x72], [0x9d, 0xa9, 0xb5]),
    ("line", Ink::Grid, [0xe3, 0xe7, 0xeb], [0x2c, 0x35, 0x3e]),
    ("paper", Ink::Paper, [0xff, 0xff, 0xff], [0x14, 0x1a, 0x20]),
    ("s0", Ink::Series(0), [0x0a, 0x63, 0xb0], [0x5a, 0xa9, 0xee]),
    ("s1", Ink::Series(1), [0xd5, 0x5e, 0x00], [0xff, 0x94, 0x4d]),
    ("s2", Ink::Series(2), [0x00, 0x80, 0x60], [0x35, 0xc4, 0x9b]),
    ("s3", Ink::Series(3), [0xb0, 0x4a, 0x8c], [0xe2, 0x8a, 0xc2]),
    ("s4", Ink::Series(4), [0x7a, 0x6a, 0x00], [0xd9, 0xc4, 0x4a]),
    ("s5", Ink::Series(5), [0x2f, 0x87, 0xa8], [0x7c, 0xd0, 0xec]),
    ("s6", Ink::Series(6), [0x7d, 0x4f, 0xc4], [0xb8, 0x97, 0xf2]),
    ("s7", Ink::Series(7), [0xa3, 0x3b, 0x3b], [0xee, 0x8b, 0x8b]),
];
/// So many series have colours of their own.
pub const SERIES: usize = 8;

impl Ink {
    /// The ink of one of `count` things in an order.
    pub fn of(index: usize, count: usize) -> Self {
        match count {
            0..=SERIES => Self::Series(index % SERIES),
            _ => Self::Order((index * 255 / (count - 1)).min(255) as u8),
        }
    }

    /// Its light colour.
    pub fn rgb(self) -> [u8; 3] {
        match self {
            // Neither end, which one of the papers would swallow.
            Self::Order(at) => super::colors::viridis(0.12 + 0.70 * f64::from(at) / 255.0),
            // Not quite those of the paper, which follow the scheme.
            Self::Black => [0x10, 0x10, 0x10],
            Self::White => [0xfd, 0xfd, 0xfd],
            Self::Text | Self::Faint | Self::Grid | Self::Paper | Self::Series(_) => {
                INKS.iter().find(|i| i.1 == self).map_or([0x80; 3], |i| i.2)
            }
        }
    }

    /// As CSS writes it in a picture of the page.
    pub fn css(self) -> String {
        match INKS.iter().find(|i| i.1 == self) {
            Some((name, ..)) => format!("var(--{name})"),
            None => hex(self.rgb()),
        }
    }
}

/// `#RRGGBB`.
pub fn hex(c: [u8; 3]) -> String {
    format!("#{:02X}{:02X}{:02X}", c[0], c[1], c[2])
}

/// A picture whose light colours have become variables.
pub fn themed(svg: &str) -> String {
    INKS.iter().fold(svg.to_string(), |svg, (name, _, light, _)| {
        svg.replace(&format!("\"{}\"", hex(*light)), &format!("\"var(--{name})\""))
    })
}

/// The page's style sheet.
pub fn sheet() -> String {
    let variables = |dark: bool| -> String {
        let one =
            |(name, _, l, d): &(&str, Ink, [u8; 3], [u8; 3])| format!("--{name}:{};", hex(if dark { *d } else { *l }));
        INKS.iter().map(one).collect()
    };
    let (light, dark) = (variables(false), variables(true));
    format!(
        ":root{{color-scheme:light dark;{light}--panel:#F5F7F9;}}\n\
         @media (prefers-color-scheme:dark){{:root{{{dark}--panel:#1B232B;}}}}\n\
         @media print{{:root{{color-scheme:light;{light}--panel:#FFFFFF;}}}}\n{RULES}"
    )
}

const RULES: &str = "\
*{box-sizing:border-box}
body{margin:0 auto;max-width:76rem;padding:1.5rem 1.25rem 4rem;background:var(--paper);color:var(--ink);\
font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}
h1{font-size:1.6rem;line-height:1.25;margin:.2rem 0}
h2{font-size:1.2rem;margin:2.4rem 0 .6rem;padding-bottom:.25rem;border-bottom:1px solid var(--line)}
h3{font-size:1rem;margin:1.4rem 0 .4rem}
p.sub{color:var(--faint);margin:.1rem 0 .8rem}
nav{margin:.8rem 0;font-size:.92rem}nav a{margin-right:.9rem;white-space:nowrap}
a{color:var(--s0)}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,27rem),1fr));gap:1.1rem;align-items:start}
figure{margin:0;padding:.7rem .8rem .6rem;background:var(--paper);border:1px solid var(--line);border-radius:6px;min-width:0;break-inside:avoid}
figure.wide{grid-column:1/-1}
@media (max-width:40rem){figure.wide{overflow-x:auto}figure.wide svg{min-width:34rem}}
figure h3{margin:0 0 .3rem}
figure svg{display:block;width:100%;height:auto;font-family:inherit}
figure image{image-rendering:pixelated}
figcaption{font-size:.86rem;color:var(--faint);margin-top:.35rem;overflow-wrap:anywhere}
details{margin:.35rem 0;font-size:.86rem}summary{cursor:pointer;color:var(--faint)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}
th,td{padding:.22rem .7rem .22rem 0;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line);vertical-align:baseline}
th{font-weight:600}th:first-child,td.t{text-align:left}
tbody th{font-weight:400}
th .op{color:var(--faint);font-size:.86em}
td .not{color:var(--s1)}
pre{overflow-x:auto;background:var(--panel);border:1px solid var(--line);border-radius:6px;padding:.8rem;font:12.5px/1.45 ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre-wrap;overflow-wrap:anywhere}
.swatch{display:inline-block;width:.7em;height:.7em;border-radius:50%;margin-right:.4em}
@media print{
body{max-width:none;padding:0;font-size:10pt}
nav,summary{display:none}
h2,h3,p.sub,thead{break-after:avoid}
.figures{display:block}
figure{display:inline-block;width:49%;vertical-align:top;margin:0 0 .5rem;padding:.3rem;border:none}
figure.wide{width:100%}
.scroll{overflow:visible}
table{font-size:8.5pt}
th,td{white-space:normal;overflow-wrap:anywhere;padding-right:.5rem}
tr{break-inside:avoid}
#runs details::details-content{content-visibility:visible}
pre{font-size:8pt}
}
";

#[cfg(test)]
mod tests {
    use super::*;

    /// The contrast of two colours by WCAG 2.1.
    fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
        let light = |c: [u8; 3]| {
            let f = c.map(|x| {
                let x = f64::from(x) / 255.0;
                if x <= 0.04045 {
                    x / 12.92
                } else {
                    ((x + 0.055) / 1.055).powf(2.4)
                }
            });
            0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]
        };
        let (a, b) = (light(a), light(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn inks_are_seen_on_both_papers() {
        let paper = INKS.iter().find(|i| i.1 == Ink::Paper).unwrap();
        for (name, ink, light, dark) in INKS {
            let least = match ink {
                Ink::Text | Ink::Faint => 4.5,
                Ink::Series(_) => 3.0,
                _ => continue,
            };
            assert!(contrast(light, paper.2) >= least, "{name} on white: {}", contrast(light, paper.2));
            assert!(contrast(dark, paper.3) >= least, "{name} on dark: {}", contrast(dark, paper.3));
        }
        for i in 0..=255 {
            let c = Ink::Order(i).rgb();
            assert!(contrast(c, paper.2) >= 1.5 && contrast(c, paper.3) >= 1.5, "{i}");
        }
    }

    #[test]
    fn every_light_colour_is_one_variable() {
        for (i, a) in INKS.iter().enumerate() {
            assert!(INKS[..i].iter().all(|b| a.2 != b.2), "{}", a.0);
            assert_eq!(themed(&format!("<a fill=\"{}\"/>", hex(a.2))), format!("<a fill=\"var(--{})\"/>", a.0));
        }
    }
}
