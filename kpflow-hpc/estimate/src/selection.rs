//! Which eigenvalues of an exact spectrum are asked for.

use std::ops::Range;

/// Which eigenvalues.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Which {
    /// The largest.
    #[default]
    Largest,
    /// The smallest of those that are not 0: not lost in rounding.
    Smallest,
    /// Of those the nearest to a number.
    Near(f64),
}

/// Eigenvalues that are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Selection {
    /// Which.
    pub which: Which,
    /// How many, at most.
    pub count: usize,
    /// δ: what products may be off by, of their size, beyond what their precision rounds. Where the largest are not
    /// asked for, what is below δ ‖A‖_F is lost in it.
    pub delta: f64,
}

impl From<usize> for Selection {
    /// The largest.
    fn from(count: usize) -> Self {
        Self { which: Which::Largest, count, delta: 0.0 }
    }
}

impl Selection {
    /// Where they are among the first `known` of these values, the largest first.
    pub(crate) fn among(&self, values: &[f64], known: usize) -> Range<usize> {
        let (known, count) = (known.min(values.len()), self.count.min(known));
        match self.which {
            Which::Largest => 0..count,
            Which::Smallest => known - count..known,
            Which::Near(x) => {
                let values = &values[..known];
                let mut end = values.partition_point(|v| *v > x);
                let mut first = end;
                while end - first < count {
                    let above = first.checked_sub(1).map(|i| values[i] - x);
                    let below = values.get(end).map(|v| x - v);
                    match (above, below) {
                        (Some(above), Some(below)) if above < below => first -= 1,
                        (Some(_), None) => first -= 1,
                        (_, Some(_)) => end += 1,
                        (None, None) => break,
                    }
                }
                first..end
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_found() {
        let values = [9.0, 7.0, 4.0, 3.5, 1.0, 1e-18, 0.0];
        let of = |which, count| Selection { which, count, delta: 0.0 }.among(&values, 5);
        assert_eq!(of(Which::Largest, 2), 0..2);
        assert_eq!(of(Which::Smallest, 2), 3..5);
        assert_eq!(of(Which::Smallest, 9), 0..5);
        for (x, count, found) in [(3.8, 1, 2..3), (3.7, 2, 2..4), (6.0, 3, 1..4), (-5.0, 2, 3..5), (50.0, 1, 0..1)] {
            assert_eq!(of(Which::Near(x), count), found, "{x}");
        }
        assert_eq!(Selection::from(3).among(&[], 0), 0..0);
        // By trying all.
        for x in 0..100 {
            let x = f64::from(x) / 10.0;
            let mut all = values[..5].to_vec();
            all.sort_by(|a, b| (a - x).abs().total_cmp(&(b - x).abs()));
            let farthest = |list: &[f64]| list.iter().fold(0.0, |m: f64, v| m.max((v - x).abs()));
            assert_eq!(farthest(&values[of(Which::Near(x), 3)]), farthest(&all[..3]), "{x}");
        }
    }
}
