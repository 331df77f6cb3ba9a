//! Products cut into pieces that the library's kernels for small products take.

use std::ops::Range;

/// Multiply-adds up to which OpenBLAS multiplies without packing its factors first.
const SMALL: usize = 1_000_000;
/// Up to which products are worth being cut: packing is a small part of larger ones.
const MOST: usize = 1 << 25;

/// Rows and inner columns of a piece, at most.
const ROWS: usize = 80;
const INNER: usize = 128;
/// Whole rows of B that are worth a piece: they lie one after the other.
const WHOLE: usize = 32;

/// The sizes (rows, columns, inner) of the pieces that a product is best cut into.
///
/// With AVX-512 kernels, f64 / f32, GFLOP/s of one product and of its pieces: 76 × 384 × 100 67 / 103 → 86 / 139, 128 × 192 × 64 65 / 149 → 90 / 183,
/// 160 × 256 × 768 64 / 157 → 78 / 177. With whole rows of B instead of some of their columns: 16 × 768 × 256 66 / 158 → 71 / 158, 24 × 768 × 256 66 / 159 → 71 / 158,
/// 16 × 1024 × 256 55 / 150 → 61 / 153.
pub fn sizes([rows, cols, inner]: [usize; 3]) -> [usize; 3] {
    let all = rows.saturating_mul(cols).saturating_mul(inner);
    if all <= SMALL || all > MOST {
        return [rows, cols, inner];
    }
    let even = |n: usize, most: usize| n.div_ceil(n.div_ceil(most));
    let rows = even(rows, ROWS);
    let whole = SMALL / (rows * cols);
    if inner >= INNER && whole >= WHOLE {
        return [rows, cols, even(inner, whole.min(INNER))];
    }
    let inner = even(inner, INNER);
    // Whole vectors of numbers.
    let cols = even(cols, SMALL / (rows * inner) / 16 * 16).next_multiple_of(16);
    [rows, cols, inner]
}

/// Calls `f([rows, columns, inner])` for every piece, those that add to others after the one that writes.
pub fn each(all: [usize; 3], piece: [usize; 3], mut f: impl FnMut([Range<usize>; 3])) {
    let ranges = |i: usize| (0..all[i]).step_by(piece[i].max(1)).map(move |at| at..(at + piece[i]).min(all[i]));
    for cols in ranges(1) {
        for inner in ranges(2) {
            ranges(0).for_each(|rows| f([rows, cols.clone(), inner.clone()]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{each, sizes, SMALL};

    #[test]
    fn pieces_are_small_and_cover_all() {
        for all in [
            [76, 384, 100],
            [160, 768, 256],
            [1, 4000, 2000],
            [3000, 7, 90],
            [81, 17, 1300],
            [300, 300, 300],
            [24, 768, 256],
            [80, 384, 128],
        ] {
            let piece = sizes(all);
            assert!(piece.iter().product::<usize>() <= SMALL, "{all:?} {piece:?}");
            let mut seen = 0;
            each(all, piece, |[i, j, p]| seen += i.len() * j.len() * p.len());
            assert_eq!(seen, all.iter().product::<usize>());
        }
        assert_eq!(sizes([16, 768, 256]), [16, 768, 64]);
        assert_eq!(sizes([76, 192, 50]), [76, 192, 50]);
        assert_eq!(sizes([1024; 3]), [1024; 3]);
    }
}
