//! Numbers and names as words.

use crate::analysis::Operator;
use crate::results::table::ends;

/// Text as HTML and SVG take it; what no XML may hold is left out.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => safe.push(c),
        }
    }
    safe
}

/// A number of so many digits.
pub fn digits(x: f64, digits: usize) -> String {
    if x.is_nan() {
        return "not a number".into();
    }
    if x.is_infinite() {
        return if x > 0.0 { "∞".into() } else { "−∞".into() };
    }
    if x.abs() < 1e-300 {
        return "0".into();
    }
    let place = x.abs().log10().floor() as i32;
    decimals(x, digits as i32 - 1 - place)
}

/// A number down to a decimal place (2: hundredths), trailing zeros kept; large and small ones with a power of ten.
fn decimals(x: f64, last: i32) -> String {
    let exponent = x.abs().log10().floor() as i32;
    if (-4..7).contains(&exponent) {
        return format!("{x:.*}", last.clamp(0, 12) as usize).replace('-', "−");
    }
    let mantissa = x / 10f64.powi(exponent);
    format!("{mantissa:.*}·10{}", (last + exponent).clamp(0, 12) as usize, raised(exponent)).replace('-', "−")
}

/// An exponent as raised digits.
pub fn raised(n: i32) -> String {
    let digit = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        c => char::from_u32('⁰' as u32 + c.to_digit(10).unwrap_or(0)).unwrap_or(c),
    };
    n.to_string().chars().map(digit).collect()
}

/// A number for the key of a picture.
pub fn short(x: f64) -> String {
    let text = digits(x, 3);
    // 0.500 is 0.5, 1.00·10⁻⁵ is 10⁻⁵
    let (mantissa, power) = text.split_once('·').map_or((text.as_str(), ""), |(m, p)| (m, p));
    let mantissa = if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    match (mantissa, power) {
        (m, "") => m.into(),
        ("1", p) => p.into(),
        (m, p) => format!("{m}·{p}"),
    }
}

/// A value down to the second uncertain digit of its standard error, and the error.
pub fn with_error(value: Option<f64>, error: Option<f64>) -> String {
    match (value, error) {
        (None, _) => String::new(),
        (Some(v), Some(e)) if v.is_finite() && e.is_finite() && e > 0.0 && v != 0.0 => {
            let place = |x: f64| x.abs().log10().floor() as i32;
            // An error above the value itself does not take its digits.
            let last = (1 - place(e)).max(-place(v));
            if (-4..7).contains(&place(v)) {
                return format!("{} ± {}", decimals(v, last), decimals_plain(e, last));
            }
            format!("{} ± {}", decimals(v, last), digits(e, 2))
        }
        (Some(v), Some(e)) if e.is_nan() || e.is_infinite() => format!("{} ± ?", digits(v, 6)),
        (Some(v), _) => digits(v, 8),
    }
}

/// The same, and the ends of the interval of 95 % where those say more.
pub fn with_interval(value: Option<f64>, error: Option<f64>, interval: Option<[f64; 2]>) -> String {
    let ends = |v| match error {
        Some(e) if e != 0.0 => ends(v, interval, |x| digits(x, 3)),
        _ => String::new(),
    };
    format!("{}{}", with_error(value, error), value.map_or(String::new(), ends))
}

fn decimals_plain(x: f64, last: i32) -> String {
    if x.abs() < 1e-6 {
        digits(x, 2)
    } else {
        format!("{x:.*}", last.clamp(0, 12) as usize)
    }
}

/// Seconds as a reader says them.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if !s.is_finite() || s < 0.0 => "?".into(),
        s if s < 0.0995 => format!("{:.0} ms", 1e3 * s),
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 119.5 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min {:02.0} s", (s / 60.0).floor(), (s % 60.0).floor()),
        s => format!("{:.0} h {:02.0} min", (s / 3600.0).floor(), (s / 60.0 % 60.0).floor()),
    }
}

/// Bytes as a reader says them.
pub fn bytes(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 || size >= 100.0 {
        format!("{size:.0} {}", units[unit])
    } else {
        format!("{size:.1} {}", units[unit])
    }
}

/// A whole number with thin spaces between thousands.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push('\u{202f}');
        }
        text.push(c);
    }
    text
}

/// What an operator is called.
pub fn operator(name: &str) -> &str {
    Operator::ALL.iter().find(|o| o.0 == name).map_or(name, |o| o.1.about().symbol)
}

/// A name of a file: letters, digits, `_`, `-`, `.` and nothing else.
pub fn file_name(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '_' };
    let name: String = text.chars().take(80).map(safe).collect();
    name.trim_start_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (value, error, text) in [
            (84.6123, 0.1234, "84.61 ± 0.12"),
            (84.6123, 0.0, "84.612300"),
            (1234.5, 57.0, "1234 ± 57"),
            (1234.5, f64::INFINITY, "1234.50 ± ?"),
            (-0.25, 0.001, "−0.2500 ± 0.0010"),
            (3.21e-9, 1.5e-11, "3.210·10⁻⁹ ± 1.5·10⁻¹¹"),
            (f64::NAN, 1.0, "not a number"),
            (f64::INFINITY, 0.0, "∞"),
            (0.0, 0.0, "0"),
        ] {
            assert_eq!(with_error(Some(value), Some(error)), text, "{value} {error}");
        }
        for (x, text) in
            [(0.5, "0.5"), (1e-5, "10⁻⁵"), (123456.0, "123456"), (20.0, "20"), (2.5e8, "2.5·10⁸"), (0.0, "0")]
        {
            assert_eq!(short(x), text);
        }
        assert_eq!([time(0.003), time(75.0), time(3661.0), time(1e5)], ["3 ms", "75 s", "61 min 01 s", "27 h 46 min"]);
        assert_eq!([bytes(12), bytes(1536), bytes(1 << 30)], ["12 bytes", "1.5 KiB", "1.0 GiB"]);
        assert_eq!(count(1234567), "1\u{202f}234\u{202f}567");
    }

    #[test]
    fn what_a_page_must_not_take() {
        assert_eq!(escape("<a href='x'>&\"\u{1}\n"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;\n");
        assert_eq!(file_name("../../a b/c.h5"), "_.._a_b_c.h5");
    }
}
