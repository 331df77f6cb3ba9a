//! What the file says of the state: its variables, and where its trajectories end.

use super::{array, fixed, labels, Header};

/// Writes the group `/state`, without the state's numbers.
pub(super) fn write(f: &hdf5::File, header: &Header) -> hdf5::Result<()> {
    let state = f.create_group("state")?;
    fixed::dataset(&state, "variables", &header.variables.iter().map(|v| v.name.clone()).collect::<Vec<_>>())?;
    let layout = header.variables.iter().flat_map(|v| [v.offset, v.stride, v.positions, v.width].map(|x| x as i64));
    array(&state, "layout", &[header.variables.len(), 4], layout.collect())?;
    if let Some(lengths) = &header.lengths {
        array(&state, "lengths", &[lengths.len()], lengths.iter().map(|&length| length as i64).collect())?;
    }
    labels::state(&state)
}
