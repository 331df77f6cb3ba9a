//! Rounds of work that repeat: a budget of a thousand million products is not gone through one by one.

/// Rounds that are looked at: where none repeat within so many, none are looked for any more.
const MOST: usize = 1024;

/// From so many rounds on it is asked whether they repeat.
const FIRST: usize = 64;

/// What an estimate did between two moments at which it could have ended.
#[derive(Clone, Debug, PartialEq)]
struct Round<W> {
    works: Vec<W>,
    /// Products, and bytes that stayed.
    matvecs: i64,
    bytes: i64,
}

/// What several rounds in a row did, over and over.
#[derive(Debug)]
pub(super) struct Period<W> {
    pub works: Vec<W>,
    pub matvecs: usize,
    pub bytes: usize,
}

/// The rounds so far.
#[derive(Clone, Debug)]
pub(super) struct History<W> {
    done: Vec<Round<W>>,
    now: Vec<W>,
    /// Products and bytes at the end of the last one.
    last: (i64, i64),
    /// Whether rounds are not looked at any more.
    closed: bool,
}

impl<W: Copy + PartialEq> History<W> {
    /// None so far.
    pub fn new() -> Self {
        Self { done: Vec::new(), now: Vec::new(), last: (0, 0), closed: false }
    }

    /// Takes note of some work.
    pub fn push(&mut self, work: W) {
        if !self.closed {
            self.now.push(work);
        }
    }

    /// Ends a round, after so many products and with so many bytes held. Returns what the last rounds did twice over, if they did.
    ///
    /// **Cost**: asked at powers of two alone, so that all of it is a few comparisons a round.
    pub fn end(&mut self, matvecs: usize, held: usize) -> Option<Period<W>> {
        if self.closed {
            return None;
        }
        let here = (matvecs as i64, held as i64);
        let works = std::mem::take(&mut self.now);
        self.done.push(Round { works, matvecs: here.0 - self.last.0, bytes: here.1 - self.last.1 });
        self.last = here;
        let count = self.done.len();
        if count < FIRST || !count.is_power_of_two() {
            return None;
        }
        let repeats = |p: &usize| self.done[count - 2 * p..count - p] == self.done[count - p..];
        let period = (1..=count / 2).find(repeats).map(|p| self.done.split_off(count - p));
        self.closed = period.is_some() || count >= MOST;
        if self.closed {
            self.done = Vec::new();
        }
        let period = period?;
        let sum = |of: fn(&Round<W>) -> i64| usize::try_from(period.iter().map(of).sum::<i64>()).ok();
        let (matvecs, bytes) = (sum(|r| r.matvecs).filter(|&m| m > 0)?, sum(|r| r.bytes)?);
        Some(Period { works: period.into_iter().flat_map(|r| r.works).collect(), matvecs, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_rounds_is_found_where_it_repeats() {
        for (period, block) in [(1, 8), (32, 8), (5, 3)] {
            let mut history = History::new();
            let found = (1..=MOST).find_map(|round| {
                let numbers = (round - 1) % period;
                history.push(numbers);
                history.end(round * block, 100 * (round / period)).map(|p| (round, p))
            });
            let (round, found) = found.unwrap();
            assert!(round <= 128, "{round}");
            assert_eq!((found.works.len(), found.matvecs, found.bytes), (period, period * block, 100));
        }
    }

    #[test]
    fn what_grows_is_gone_through() {
        let mut history = History::new();
        for round in 1..=2 * MOST {
            history.push(round);
            assert!(history.end(round, 0).is_none());
        }
        assert!(history.done.is_empty());
    }
}
