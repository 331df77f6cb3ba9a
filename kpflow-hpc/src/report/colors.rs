//! Colour maps.

/// Stops of the colour map viridis (Smith and van der Walt, CC0).
pub const VIRIDIS: [[u8; 3]; 9] = [
    [68, 1, 84],
    [71, 44, 122],
    [59, 81, 139],
    [44, 113, 142],
    [33, 144, 141],
    [39, 173, 129],
    [92, 200, 99],
    [170, 220, 50],
    [253, 231, 37],
];

/// Stops of ColorBrewer's RdBu (Brewer, Apache 2.0), from negative to positive.
pub const SIGNS: [[u8; 3]; 7] =
    [[33, 102, 172], [103, 169, 207], [209, 229, 240], [247, 247, 247], [253, 219, 199], [239, 138, 98], [178, 24, 43]];

/// The colour at 0 … 1 between stops.
pub fn between(stops: &[[u8; 3]], at: f64) -> [u8; 3] {
    let at = if at.is_nan() { 0.0 } else { at.clamp(0.0, 1.0) } * (stops.len() - 1) as f64;
    let i = (at as usize).min(stops.len() - 2);
    let f = at - i as f64;
    std::array::from_fn(|c| (f64::from(stops[i][c]) * (1.0 - f) + f64::from(stops[i + 1][c]) * f).round() as u8)
}

/// The colour map at 0 … 1.
pub fn viridis(at: f64) -> [u8; 3] {
    between(&VIRIDIS, at)
}
