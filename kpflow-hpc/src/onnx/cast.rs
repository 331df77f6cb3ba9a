//! Tensors in another element type.

use super::element::Element;
use super::reader::{Op, Reader};
use super::value::{Array, Value};
use kpflow_core::model::{Real, UnitWise};
use kpflow_core::Scalar;

/// A cast of computed numbers, which no derivative passes.
struct Cut(Element);

impl UnitWise<1, 1> for Cut {
    fn eval<R: Real>(&self, [x]: [R; 1]) -> [R; 1] {
        [R::constant(self.0.cast(x.value().f64()))]
    }
}

/// A tensor in another element type.
pub fn cast<T: Scalar>(reader: &mut Reader<T>, x: &Value, to: Element) -> Op<Value> {
    let from = x.element();
    if let Value::Known(a) = x {
        let number = |&x: &f64| to.cast(if to.is_float() { x } else { from.rounded(x) });
        let data = a.data.iter().map(number).collect();
        return Ok(Value::Known(Array { shape: a.shape.clone(), data, element: to }));
    }
    // Truth values are numbers of every type, and every number is a floating-point one.
    if to.is_float() || from == to || from == Element::Bool {
        return Ok(x.clone().typed(to));
    }
    if let (Element::Integer { bits: from, .. }, Element::Integer { bits: 64, .. }) = (from, to) {
        if from < 64 {
            return Ok(x.clone().typed(to));
        }
    }
    Ok(reader.unit(Cut(to), x)?.typed(to))
}
