//! Comparisons, truth values, choices and steps: functions that no derivative passes, or only where they choose.

use super::element::Element;
use super::file::Array;
use super::reader::{Op, Reader};
use super::value::Value;
use super::Node;
use kpflow_core::model::functions::Select;
use kpflow_core::model::{Real, UnitWise};
use kpflow_core::Scalar;

/// A truth value of two numbers, which no derivative passes.
#[derive(Clone, Copy, Debug)]
enum Truth {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    And,
    Or,
    Xor,
}

impl Truth {
    fn of<N: PartialOrd + num_traits::Zero>(self, a: N, b: N) -> bool {
        match self {
            Truth::Equal => a == b,
            Truth::Greater => a > b,
            Truth::GreaterOrEqual => a >= b,
            Truth::Less => a < b,
            Truth::LessOrEqual => a <= b,
            Truth::And => !a.is_zero() && !b.is_zero(),
            Truth::Or => !a.is_zero() || !b.is_zero(),
            Truth::Xor => a.is_zero() != b.is_zero(),
        }
    }
}

impl UnitWise<2, 1> for Truth {
    fn eval<R: Real>(&self, [a, b]: [R; 2]) -> [R; 1] {
        [R::constant(f64::from(u8::from(self.of(a.value(), b.value()))))]
    }
}

/// A step function of one number.
#[derive(Clone, Copy, Debug)]
enum Steps {
    Not,
    Floor,
    Ceil,
    Round,
    Sign,
    IsNan,
}

impl Steps {
    fn of(self, x: f64) -> f64 {
        match self {
            Steps::Not => f64::from(u8::from(x == 0.0)),
            Steps::Floor => x.floor(),
            Steps::Ceil => x.ceil(),
            Steps::Round => x.round_ties_even(),
            Steps::Sign if x == 0.0 => 0.0,
            Steps::Sign => x.signum(),
            Steps::IsNan => f64::from(u8::from(x.is_nan())),
        }
    }
}

impl UnitWise<1, 1> for Steps {
    fn eval<R: Real>(&self, [x]: [R; 1]) -> [R; 1] {
        [R::constant(self.of(x.value().f64()))]
    }
}

fn truth(kind: &str) -> Option<Truth> {
    Some(match kind {
        "Equal" => Truth::Equal,
        "Greater" => Truth::Greater,
        "GreaterOrEqual" => Truth::GreaterOrEqual,
        "Less" => Truth::Less,
        "LessOrEqual" => Truth::LessOrEqual,
        "And" => Truth::And,
        "Or" => Truth::Or,
        "Xor" => Truth::Xor,
        _ => return None,
    })
}

fn steps(kind: &str) -> Option<Steps> {
    Some(match kind {
        "Not" => Steps::Not,
        "Floor" => Steps::Floor,
        "Ceil" => Steps::Ceil,
        "Round" => Steps::Round,
        "Sign" => Steps::Sign,
        "IsNaN" => Steps::IsNan,
        _ => return None,
    })
}

/// Applies a node of this kind; `None` if it is of another.
pub(super) fn apply<T: Scalar>(reader: &mut Reader<T>, n: &Node<'_>) -> Op<Option<Value>> {
    if let Some(t) = truth(n.kind()) {
        let (a, b) = n.aligned()?;
        let (of_a, of_b) = (a.element(), b.element());
        return Ok(Some(match (&a, &b) {
            (Value::Known(_), Value::Known(_)) => {
                let test = |x, y| f64::from(u8::from(t.of(of_a.rounded(x), of_b.rounded(y))));
                reader.known(&a, &b, Element::Bool, test)?
            }
            _ => reader.clustered(t, [&a, &b])?.typed(Element::Bool),
        }));
    }
    if let Some(s) = steps(n.kind()) {
        let x = n.input(0)?;
        let element = if matches!(s, Steps::Not | Steps::IsNan) { Element::Bool } else { x.element() };
        return Ok(Some(match x {
            Value::Known(a) => {
                let data = a.data.iter().map(|&x| s.of(a.element.rounded(x))).collect();
                Value::Known(Array { shape: a.shape.clone(), data, element })
            }
            Value::Parameter(_) | Value::Computed(_) | Value::Sequence(_) => reader.unit(s, x)?.typed(element),
        }));
    }
    if n.kind() != "Where" {
        return Ok(None);
    }
    let (c, a, b) = (n.input(0)?, n.input(1)?, n.input(2)?);
    if let (Value::Known(c), Value::Known(x), Value::Known(y)) = (c, a, b) {
        let shape = reader.broadcast(&[n.input(0)?, a, b])?;
        let all = [c, x, y].map(|v| reader.expanded(&Value::Known(v.clone()), &shape));
        let [Ok(Value::Known(c)), Ok(Value::Known(x)), Ok(Value::Known(y))] = all else {
            return Err("does not broadcast".into());
        };
        let pick = |i: usize| if c.data[i] != 0.0 { x.data[i] } else { y.data[i] };
        let data = (0..c.data.len()).map(pick).collect();
        return Ok(Some(Value::Known(Array { shape, data, element: x.element })));
    }
    Ok(Some(reader.clustered(Select, [c, a, b])?.typed(a.element())))
}
