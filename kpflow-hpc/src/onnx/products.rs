//! Products of matrices, and the orders of axes that they need.

use super::reader::{Op, Reader};
use super::value::{self, Array, Value};
use kpflow_core::model::mixing::{Along, Product};
use kpflow_core::model::Operand;
use kpflow_core::Scalar;

/// Moves an axis to the end, applies `f`, moves it back.
pub(super) fn last<T: Scalar>(
    reader: &mut Reader<T>,
    x: &Value,
    axis: usize,
    f: impl FnOnce(&mut Reader<T>, &Value) -> Op<Value>,
) -> Op<Value> {
    let rank = x.shape().len();
    if axis + 1 == rank {
        return f(reader, x);
    }
    let mut order: Vec<usize> = (0..rank).filter(|&a| a != axis).collect();
    order.push(axis);
    let moved = permuted(reader, x, &order)?;
    let y = f(reader, &moved)?;
    let back: Vec<usize> = (0..rank).map(|a| order.iter().position(|&o| o == a).unwrap_or(0)).collect();
    permuted(reader, &y, &back)
}

/// A tensor with its axes in another order.
pub(super) fn permuted<T: Scalar>(reader: &mut Reader<T>, x: &Value, order: &[usize]) -> Op<Value> {
    if let Some(y) = reader.turned(x, order) {
        return Ok(y);
    }
    let moves = value::transpose(x.shape(), order).ok_or("permutes axes, which it cannot")?;
    reader.moved(std::slice::from_ref(x), moves)
}

/// A tensor with its last two axes swapped.
pub(super) fn swapped<T: Scalar>(reader: &mut Reader<T>, x: &Value) -> Op<Value> {
    let rank = x.shape().len();
    let mut order: Vec<usize> = (0..rank).collect();
    order.swap(rank - 1, rank - 2);
    permuted(reader, x, &order)
}

/// Whether a product of `x` with this is a weight site: a matrix of parameters, or a fixed one that data goes through.
pub(super) fn is_weight(v: &Value, x: &Value) -> bool {
    let fixed = |v: &Value| matches!(v, Value::Known(_));
    v.shape().len() == 2 && (matches!(v, Value::Parameter(_)) || fixed(v) && !fixed(x))
}

/// x W for W `[n_in, n_out]`, fixed or a parameter.
pub(super) fn linear<T: Scalar>(reader: &mut Reader<T>, x: &Value, w: &Value, bias: Option<&Value>) -> Op<Value> {
    let (n_in, n_out) = (w.shape()[0], w.shape()[1]);
    if x.shape().last() != Some(&n_in) {
        return Err(format!("multiplies shapes {:?} and {:?}, which it cannot", x.shape(), w.shape()));
    }
    let matrix = swapped(reader, w)?;
    let weight = reader.weight(&matrix, bias, n_out, n_in)?;
    let input = reader.rows(x, n_in)?;
    let y = reader.network.dense(weight, input);
    let shape = [&x.shape()[..x.shape().len() - 1], &[n_out]].concat();
    Ok(reader.computed(shape, y).typed(x.element()))
}

/// The product of two tensors as `MatMul` has it.
pub(super) fn matmul<T: Scalar>(reader: &mut Reader<T>, a: &Value, b: &Value) -> Op<Value> {
    let wrong = || format!("multiplies shapes {:?} and {:?}, which it cannot", a.shape(), b.shape());
    // A vector is a matrix of one row or column.
    if a.shape().len() == 1 || b.shape().len() == 1 {
        let (first, second) = (a.shape().len() == 1, b.shape().len() == 1);
        let wide = |v: &Value, front: bool| {
            let n = v.shape().first().copied().unwrap_or(1);
            v.clone().reshaped(if front { vec![1, n] } else { vec![n, 1] })
        };
        let a = if first { wide(a, true) } else { a.clone() };
        let b = if second { wide(b, false) } else { b.clone() };
        let y = matmul(reader, &a, &b)?;
        let mut shape = y.shape().to_vec();
        let rank = shape.len();
        if second {
            shape.remove(rank - 1);
        }
        if first {
            shape.remove(rank - 2);
        }
        return Ok(y.reshaped(shape));
    }
    let (&[.., m, k], &[.., k2, p]) = (a.shape(), b.shape()) else { return Err(wrong()) };
    if k != k2 || k == 0 {
        return Err(wrong());
    }
    if let (Value::Known(x), Value::Known(y)) = (a, b) {
        if x.shape.len() == 2 && y.shape.len() == 2 && m.saturating_mul(k).saturating_mul(p) < 1 << 28 {
            let entry = |i: usize| (0..k).map(|j| x.data[i / p * k + j] * y.data[j * p + i % p]).sum();
            let data = (0..m * p).map(entry).collect();
            return Ok(Value::Known(Array { shape: vec![m, p], data, element: x.element }));
        }
    }
    if is_weight(b, a) {
        return linear(reader, a, b, None);
    }
    if is_weight(a, b) && b.shape().len() == 2 {
        // W x = (xᵀ Wᵀ)ᵀ
        let (x, w) = (swapped(reader, b)?, swapped(reader, a)?);
        let y = linear(reader, &x, &w, None)?;
        return swapped(reader, &y);
    }
    let (ab, bb) = (&a.shape()[..a.shape().len() - 2], &b.shape()[..b.shape().len() - 2]);
    let batch = value::broadcast(&[ab, bb]).ok_or_else(wrong)?;
    let groups: usize = batch.iter().product();
    let side = |reader: &mut Reader<T>, v: &Value, own: &[usize], rows: usize, cols: usize| -> Op<(Operand, Along)> {
        if own.iter().product::<usize>() == 1 && groups > 1 {
            return Ok((reader.rows(v, cols)?, Along::Shared));
        }
        let shape = [&batch[..], &[rows, cols]].concat();
        let v = reader.expanded(v, &shape)?;
        Ok((reader.rows(&v, cols)?, Along::Rows))
    };
    let (x, along_a) = side(reader, a, ab, m, k)?;
    let (y, along_b) = side(reader, b, bb, k, p)?;
    let product = Product { groups, along: [along_a, along_b, Along::Rows], transposed: false };
    Ok(reader.mixing(product, &[x, y], [&batch[..], &[m, p]].concat())?.typed(a.element()))
}
