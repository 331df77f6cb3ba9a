//! Trials of different length that were padded to one, without a word: how their inputs end gives them away.

use kpflow_core::Scalar;
use std::ops::Range;

/// How trajectories end: for each of all ranks', the steps in which its last row of inputs repeats at its end, and whether that is longer than anywhere before.
pub struct Ends(Vec<u64>);

/// Looks at the inputs `[b][step][…]` of the trajectories `own` of `trajectories`.
pub fn ends<T: Scalar>(inputs: &[T], trajectories: usize, own: Range<usize>, steps: usize) -> Ends {
    let mut all = vec![0; 2 * trajectories];
    let row = inputs.len() / (own.len() * steps).max(1);
    for (b, part) in own.zip(inputs.chunks((steps * row).max(1))) {
        let (last, longest) = end(part, row);
        (all[2 * b], all[2 * b + 1]) = (last as u64, u64::from(last > longest));
    }
    Ends(all)
}

impl Ends {
    /// Those of the trajectories of all ranks, by a sum over them.
    pub fn summed(mut self, sum: impl FnOnce(&mut [u64])) -> Self {
        sum(&mut self.0);
        self
    }
}

/// How many rows at the end are the same, and how many in a row at most are the same as those before.
fn end<T: Scalar>(part: &[T], row: usize) -> (usize, usize) {
    let rows = || part.chunks_exact(row.max(1)).rev();
    let Some(last) = rows().next() else { return (0, 0) };
    let run = rows().take_while(|r| *r == last).count();
    let (mut longest, mut now) = (0, 0);
    for other in rows().skip(run) {
        now = if other == last { now + 1 } else { 0 };
        longest = longest.max(now);
    }
    (run, longest)
}

/// What the user is told, if the ends look like padding: runs of identical rows that are not as long in all trajectories, and longer than those rows repeat
/// before. Sparse inputs, which are zero now and then, and constant ones do not look so.
pub fn sentence(ends: &Ends, steps: usize) -> Option<String> {
    let all = || ends.0.chunks_exact(2).map(|e| (e[0] as usize, e[1] != 0));
    let runs = |padded: bool| all().filter(move |(run, p)| (2..steps).contains(run) && *p == padded);
    let (count, others) = (runs(true).count(), runs(false).count());
    let longest = runs(true).map(|(run, _)| run).max()?;
    let differ = all().any(|(run, _)| run != longest);
    (differ && count > others).then(|| {
        let (trajectories, first) = (all().count(), steps - longest);
        format!(
            "inputs of {count} of {trajectories} trajectories end in identical rows (from step {first} on at the earliest): if this is padding, give [data] lengths"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{ends, sentence};

    const STEPS: usize = 12;

    /// What is said of trajectories of one input each, on one rank and on three.
    fn said(trajectories: &[[f64; STEPS]]) -> Option<String> {
        let count = trajectories.len();
        let one = sentence(&ends(&trajectories.concat(), count, 0..count, STEPS), STEPS);
        let part = |own: std::ops::Range<usize>| ends(&trajectories[own.clone()].concat(), count, own, STEPS);
        let cut = [0, count / 3, count / 2, count];
        let all = (0..3).map(|i| part(cut[i]..cut[i + 1]));
        let sum = all.reduce(|a, b| b.summed(|x| x.iter_mut().zip(&a.0).for_each(|(x, y)| *x += y)));
        assert_eq!(one, sentence(&sum.unwrap(), STEPS));
        one
    }

    /// Numbers that do not repeat, then the same from `end` on.
    fn padded(seed: usize, end: usize, with: f64) -> [f64; STEPS] {
        std::array::from_fn(|t| if t < end { (1 + t + seed * STEPS) as f64 } else { with })
    }

    #[test]
    fn padding_is_told() {
        let told = said(&[padded(0, 12, 0.0), padded(1, 7, 0.0), padded(2, 4, 0.0), padded(3, 9, 0.0)]).unwrap();
        assert!(told.starts_with("inputs of 3 of 4 trajectories end in identical rows (from step 4 on"), "{told}");
        // Also with the last row, with what occurs before, and where every trial ends in a pause.
        assert!(said(&[padded(0, 12, 0.0), padded(1, 7, 19.0)]).is_some());
        let pause = |seed, end| {
            let mut x = padded(seed, end, 0.0);
            x[0] = 0.0;
            x
        };
        assert!(said(&[pause(0, 9), pause(1, 6), pause(2, 9), pause(3, 3)]).is_some());
    }

    #[test]
    fn what_is_not_padded_is_not_told() {
        // Ends as long in all; no repetition; constant inputs; one step; a lonely trajectory.
        assert_eq!(said(&[padded(0, 8, 0.0), padded(1, 8, 0.0), padded(2, 8, 0.0)]), None);
        assert_eq!(said(&[padded(0, 12, 0.0), padded(1, 12, 0.0), padded(2, 11, 0.0)]), None);
        assert_eq!(said(&[[1.0; STEPS], [2.0; STEPS], [0.0; STEPS]]), None);
        assert_eq!(said(&[padded(0, 3, 0.0)]), None);
        assert_eq!(said(&[]), None);
        // Pulses now and then, as of a flip-flop: zeros before as well.
        let pulses = |at: &[usize]| std::array::from_fn(|t| if at.contains(&t) { 1.0 } else { 0.0 });
        assert_eq!(said(&[pulses(&[0, 5]), pulses(&[0, 6, 9]), pulses(&[0, 4, 7, 11]), pulses(&[0, 5, 8])]), None);
    }
}
