//! `Einsum` of one or two tensors: axes moved so that it is one product of matrices.

use super::products::{matmul, permuted};
use super::reader::{Op, Reader};
use super::reduce::summed;
use super::value::Value;
use super::Node;
use kpflow_core::Scalar;

pub(super) fn apply<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Value> {
    let equation: String = n.text("equation").unwrap_or_default().chars().filter(|c| !c.is_whitespace()).collect();
    let wrong =
        || format!("has the equation {equation}; those of one or two tensors, each axis once, are in this version");
    let (left, right) = equation.split_once("->").ok_or_else(wrong)?;
    let terms: Vec<Vec<char>> = left.split(',').map(|t| t.chars().collect()).collect();
    let out: Vec<char> = right.chars().collect();
    let once = |t: &[char]| t.iter().all(|c| c.is_ascii_alphabetic() && t.iter().filter(|d| *d == c).count() == 1);
    let known = out.iter().all(|c| terms.iter().any(|t| t.contains(c)));
    if terms.len() != n.node.input.len() || terms.len() > 2 || !known || !once(&out) || !terms.iter().all(|t| once(t)) {
        return Err(wrong());
    }
    // An axis that only one tensor has, and the result has not, is summed first.
    let mut values = Vec::new();
    for (i, term) in terms.iter().enumerate() {
        let value = n.input(i)?;
        if value.shape().len() != term.len() {
            return Err(wrong());
        }
        let other = terms.get(1 - i.min(1)).filter(|_| terms.len() == 2);
        let gone = |c: &char| !out.contains(c) && !other.is_some_and(|o| o.contains(c));
        let axes: Vec<usize> = (0..term.len()).filter(|&a| gone(&term[a])).collect();
        let rest: Vec<char> = term.iter().copied().filter(|c| !gone(c)).collect();
        let value = if axes.is_empty() { value.clone() } else { summed(reader, value, &axes)? };
        values.push((value, rest));
    }
    let (value, labels) = match &values[..] {
        [(value, labels)] => (value.clone(), labels.clone()),
        [(a, ta), (b, tb)] => {
            let of = |f: &dyn Fn(char) -> bool, t: &[char]| t.iter().copied().filter(|&c| f(c)).collect::<Vec<char>>();
            let batch = of(&|c| tb.contains(&c) && out.contains(&c), ta);
            let inner = of(&|c| tb.contains(&c) && !out.contains(&c), ta);
            let (rows, cols) = (of(&|c| !tb.contains(&c), ta), of(&|c| !ta.contains(&c), tb));
            let size = |c: &char| {
                let in_a = ta.iter().position(|d| d == c).map(|i| a.shape()[i]);
                in_a.or(tb.iter().position(|d| d == c).map(|i| b.shape()[i])).unwrap_or(1)
            };
            let product = |t: &[char]| t.iter().map(size).product::<usize>();
            let ordered =
                |reader: &mut Reader<T>, v: &Value, t: &[char], order: &[&[char]], cut: [usize; 2]| -> Op<Value> {
                    let axes: Vec<usize> =
                        order.concat().iter().filter_map(|c| t.iter().position(|d| d == c)).collect();
                    let shape = [batch.iter().map(size).collect::<Vec<_>>(), cut.to_vec()].concat();
                    let v = permuted(reader, v, &axes)?;
                    match v.shape().iter().product::<usize>() == shape.iter().product::<usize>() {
                        true => Ok(v.reshaped(shape)),
                        false => Err(wrong()),
                    }
                };
            let (m, k, p) = (product(&rows), product(&inner), product(&cols));
            let x = ordered(reader, a, ta, &[&batch, &rows, &inner], [m, k])?;
            let y = ordered(reader, b, tb, &[&batch, &inner, &cols], [k, p])?;
            let labels = [batch, rows, cols].concat();
            let shape: Vec<usize> = labels.iter().map(size).collect();
            (matmul(reader, &x, &y)?.reshaped(shape), labels)
        }
        _ => return Err(wrong()),
    };
    let order: Option<Vec<usize>> = out.iter().map(|c| labels.iter().position(|d| d == c)).collect();
    permuted(reader, &value, &order.ok_or_else(wrong)?)
}
