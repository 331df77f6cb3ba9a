//! Times as words.

use std::time::{SystemTime, UNIX_EPOCH};

/// A time as ISO 8601 in UTC; days to dates by Hinnant's `civil_from_days`.
pub fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, s) = ((seconds / 86400) as i64 + 719_468, seconds % 86400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let m = (5 * day + 2) / 153;
    let (date, month) = (day - (153 * m + 2) / 5 + 1, if m < 10 { m + 3 } else { m - 9 });
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}Z", s / 3600, s / 60 % 60, s % 60)
}

/// A duration in the unit that suits it.
pub fn seconds(x: f64) -> String {
    match x {
        _ if x >= 2.0 * 86400.0 => format!("{:.1} d", x / 86400.0),
        _ if x >= 7200.0 => format!("{:.1} h", x / 3600.0),
        _ if x >= 120.0 => format!("{:.1} min", x / 60.0),
        _ if x >= 0.1 => format!("{x:.1} s"),
        _ => format!("{:.1} ms", x * 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates() {
        assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(1_709_210_096)), "2024-02-29T12:34:56Z");
        assert_eq!(utc(UNIX_EPOCH), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn durations() {
        assert_eq!([0.0123, 3.0, 150.0, 7300.0, 2e5].map(seconds), ["12.3 ms", "3.0 s", "2.5 min", "2.0 h", "2.3 d"]);
    }
}
