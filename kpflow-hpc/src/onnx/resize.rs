//! `Resize` to the nearest pixel, `DepthToSpace` and `SpaceToDepth`.

use super::file::Array;
use super::products::permuted;
use super::reader::{Op, Reader};
use super::value::{self, Value};
use super::Node;
use kpflow_core::Scalar;

/// Applies a node of this kind; `None` if it is of another.
pub(super) fn apply<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Option<Value>> {
    match n.kind() {
        "Resize" => nearest(reader, n).map(Some),
        "DepthToSpace" | "SpaceToDepth" => blocks(reader, n).map(Some),
        _ => Ok(None),
    }
}

fn nearest<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Value> {
    let x = n.input(0)?;
    let rank = x.shape().len();
    let transform = n.text("coordinate_transformation_mode").unwrap_or("half_pixel");
    let mode = n.text("nearest_mode").unwrap_or("round_prefer_floor");
    let only = |name: &str, value: &str, known: &[&str]| match known.contains(&value) {
        true => Ok(()),
        false => Err(format!("has {name} = {value}; {} is in this version", known.join(", "))),
    };
    only("mode", n.text("mode").unwrap_or("nearest"), &["nearest"])?;
    only("coordinate_transformation_mode", transform, &["asymmetric", "half_pixel"])?;
    only("nearest_mode", mode, &["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])?;
    if n.attribute("axes").is_some() {
        return Err("resizes some axes (axes), which is not in this version".into());
    }
    // What only the other modes look at.
    n.without_effect(&["cubic_coeff_a", "exclude_outside", "extrapolation_value"]);
    n.optional(1)?;
    let scales = n.known(2, "scales")?.filter(|a| a.data.len() == rank).map(|a| a.data.clone());
    let sizes = n.known(3, "sizes")?.filter(|a| a.data.len() == rank).map(|a| a.data.clone());
    let mut y = x.clone();
    for axis in 0..rank {
        let from = x.shape()[axis] as f64;
        let (to, scale) = match (&sizes, &scales) {
            (Some(sizes), _) => (sizes[axis], sizes[axis] / from),
            (None, Some(scales)) => ((from * scales[axis]).floor(), scales[axis]),
            _ => return Err("has neither scales nor sizes for every axis".into()),
        };
        if !(to >= 1.0 && to <= super::file::MOST as f64 && scale > 0.0) {
            return Err(format!("makes an axis of {to}"));
        }
        let place = |o: usize| {
            let at = if transform == "asymmetric" { o as f64 / scale } else { (o as f64 + 0.5) / scale - 0.5 };
            let near = match mode {
                "floor" => at.floor(),
                "ceil" => at.ceil(),
                "round_prefer_ceil" => (at + 0.5).floor(),
                _ => (at - 0.5).ceil(),
            };
            near.clamp(0.0, from - 1.0)
        };
        if to != from {
            let indices = Array::row((0..to as usize).map(place).collect());
            let moves = value::gather(y.shape(), axis, &indices).ok_or("makes a tensor that is too large")?;
            y = reader.moved(&[y], moves)?;
        }
    }
    Ok(y)
}

fn blocks<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Value> {
    let x = n.input(0)?;
    let size = usize::try_from(n.integer("blocksize", 0)).unwrap_or(0);
    let &[b, c, h, w] = x.shape() else { return Err(format!("reads a map of shape {:?}", x.shape())) };
    let square = size.checked_mul(size).filter(|&s| s > 0).ok_or("has no blocksize")?;
    // Depth is blocks of channels (DCR), or channels of blocks.
    let by_channel = match n.text("mode") {
        None | Some("DCR") => false,
        Some("CRD") => true,
        Some(other) => return Err(format!("has mode = {other}; DCR and CRD are known")),
    };
    if n.kind() == "SpaceToDepth" {
        if h % size != 0 || w % size != 0 {
            return Err(format!("cuts a map of shape {:?} into blocks of {size}", x.shape()));
        }
        let x = x.clone().reshaped(vec![b, c, h / size, size, w / size, size]);
        let y = permuted(reader, &x, if by_channel { &[0, 1, 3, 5, 2, 4] } else { &[0, 3, 5, 1, 2, 4] })?;
        return Ok(y.reshaped(vec![b, c * square, h / size, w / size]));
    }
    if c % square != 0 {
        return Err(format!("makes blocks of {size} of {c} channels"));
    }
    let rest = c / square;
    let y = match by_channel {
        true => permuted(reader, &x.clone().reshaped(vec![b, rest, size, size, h, w]), &[0, 1, 4, 2, 5, 3])?,
        false => permuted(reader, &x.clone().reshaped(vec![b, size, size, rest, h, w]), &[0, 3, 4, 1, 5, 2])?,
    };
    Ok(y.reshaped(vec![b, rest, h * size, w * size]))
}
