//! What the rows of an exact matrix tell that was made without products, every process having those of its trajectories.

use crate::closed::Rows;
use crate::error::Result;
use kpflow_estimate::{self as estimate, DenseSpectrum, Space, Wanted, DENSE_LIMIT};

/// Numbers of a whole vector, those behind the ends of trajectories too.
pub(super) fn size<S: Space>(space: &S) -> usize {
    space.trajectories() * space.shape().per_trajectory()
}

/// All that is wanted of the matrix; of one that is too large for every process, its sums. Collective.
pub(super) fn spectrum<S: Space>(space: &S, rows: Rows, wanted: Wanted) -> Result<DenseSpectrum> {
    let held = space.hold(space.shape().len() * size(space));
    if space.len() > DENSE_LIMIT {
        let [trace, square] = sums(space, &rows);
        return match square.is_finite() {
            true => Ok(DenseSpectrum::of_sums(trace, square.sqrt(), space.len())),
            false => Err(estimate::Error::OutOfRange { epsilon: space.epsilon() }.into()),
        };
    }
    let (all, _all) = gathered(space, rows, held);
    Ok(estimate::dense_of_matrix(space, all, wanted)?)
}

/// The trace, and the sum of all squares. Collective.
pub(super) fn sums<S: Space>(space: &S, rows: &Rows) -> [f64; 2] {
    let mut sums = [0.0; 2];
    for (i, row) in rows.numbers.chunks(size(space).max(1)).enumerate() {
        sums[0] += row[rows.first + i];
        sums[1] += row.iter().map(|x| x * x).sum::<f64>();
    }
    space.sum(&mut sums);
    sums
}

/// All rows, of the numbers that trajectories have, and who holds their account.
pub(super) fn gathered<S: Space>(space: &S, rows: Rows, held: S::Held) -> (Vec<f64>, S::Held) {
    let (places, size) = (space.places(), size(space));
    if space.shape().trajectories == space.trajectories() && places.len() == size {
        return (rows.numbers, held);
    }
    let all = space.hold(places.len() * places.len());
    (space.gather_rows(among(&rows, &places, size)), all)
}

/// The numbers of some rows of a matrix of `size` rows that are at these places of rows and columns.
fn among(rows: &Rows, places: &[usize], size: usize) -> Vec<f64> {
    if places.len() == size {
        return rows.numbers.clone();
    }
    let end = rows.first + rows.numbers.len() / size.max(1);
    let own = places.iter().filter(|p| (rows.first..end).contains(p));
    own.flat_map(|p| places.iter().map(move |q| rows.numbers[(p - rows.first) * size + q])).collect()
}
