//! Every operator by its name.

use super::file::{self, Array};
use super::reader::{Op, Reader};
use super::value::Value;
use super::{control, einsum, layers, recurrent, resize, shapes, Context, Node};
use kpflow_core::model::functions::{Arithmetic, Select};
use kpflow_core::model::{Activation, Real, UnitWise};
use kpflow_core::Scalar;

/// A truth value of two numbers, which no derivative passes.
#[derive(Clone, Copy, Debug)]
pub enum Truth {
    /// a = b.
    Equal,
    /// a > b.
    Greater,
    /// a ≥ b.
    GreaterOrEqual,
    /// a < b.
    Less,
    /// a ≤ b.
    LessOrEqual,
    /// Both.
    And,
    /// One of them at least.
    Or,
    /// One of them.
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

/// What is one function of one number.
fn unary(n: &Node<'_>) -> Option<Activation> {
    Some(match n.kind() {
        "Relu" => Activation::Relu,
        "Tanh" => Activation::Tanh,
        "Sigmoid" => Activation::Sigmoid,
        "Softplus" => Activation::Softplus,
        "Erf" => Activation::Erf,
        "Exp" => Activation::Exp,
        "Log" => Activation::Ln,
        "Sqrt" => Activation::Sqrt,
        "Sin" => Activation::Sin,
        "Cos" => Activation::Cos,
        "Abs" => Activation::Abs,
        "Neg" => Activation::Affine(-1.0, 0.0),
        "Reciprocal" => Activation::Pow(-1.0),
        "Gelu" if n.text("approximate") == Some("tanh") => Activation::GeluTanh,
        "Gelu" => Activation::Gelu,
        "FastGelu" => Activation::GeluTanh,
        "LeakyRelu" => Activation::LeakyRelu(n.float("alpha", 0.01)),
        "Elu" => Activation::Elu(n.float("alpha", 1.0)),
        _ => return None,
    })
}

fn binary(kind: &str) -> Option<Arithmetic> {
    Some(match kind {
        "Add" | "Sum" => Arithmetic::Add,
        "Sub" => Arithmetic::Sub,
        "Mul" => Arithmetic::Mul,
        "Div" => Arithmetic::Div,
        "Pow" => Arithmetic::Pow,
        "Max" => Arithmetic::Max,
        "Min" => Arithmetic::Min,
        _ => return None,
    })
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

/// Applies a node; one value for each of its outputs, as many as it makes.
pub(super) fn apply<T: Scalar>(reader: &mut Reader<T>, context: &Context<'_>, n: &Node<'_>) -> Op<Vec<Value>> {
    let kind = n.kind();
    if let Some(f) = unary(n) {
        return Ok(vec![reader.unary(f, n.input(0)?)?]);
    }
    if let Some(op) = binary(kind) {
        let mut value = n.input(0)?.clone();
        for i in 1..n.node.input.len() {
            value = reader.binary(op, &value, n.input(i)?)?;
        }
        return Ok(vec![value]);
    }
    if let Some(t) = truth(kind) {
        let (a, b) = (n.input(0)?, n.input(1)?);
        return Ok(vec![match (a, b) {
            (Value::Known(_), Value::Known(_)) => {
                reader.known(a, b, true, |x, y, _| f64::from(u8::from(t.of(x, y))))?
            }
            _ => reader.clustered(t, [a, b])?,
        }]);
    }
    if let Some(s) = steps(kind) {
        return Ok(vec![match n.input(0)? {
            Value::Known(a) => {
                let data = a.data.iter().map(|&x| s.of(x)).collect();
                Value::Known(Array { shape: a.shape.clone(), data, integer: a.integer })
            }
            value => reader.unit(s, value)?,
        }]);
    }
    if let Some(values) = shapes::apply(reader, n)? {
        return Ok(values);
    }
    if let Some(values) = layers::apply(reader, n)? {
        return Ok(values);
    }
    if let Some(value) = resize::apply(reader, n)? {
        return Ok(vec![value]);
    }
    match kind {
        "GRU" | "LSTM" | "RNN" => recurrent::apply(reader, n),
        "If" | "Loop" | "Scan" => control::apply(reader, context, n),
        "Constant" => Ok(vec![Value::Known(constant(context, n)?)]),
        "Clip" => {
            let bound = |i: usize, name: &str, default: f64| -> Op<f64> {
                let input = n.known(i, "bounds")?.and_then(|a| a.data.first().copied());
                Ok(input.unwrap_or(n.float(name, default)))
            };
            let (low, high) = (bound(1, "min", f64::NEG_INFINITY)?, bound(2, "max", f64::INFINITY)?);
            Ok(vec![reader.unary(Activation::Clip(low, high), n.input(0)?)?])
        }
        "HardSigmoid" => {
            let (alpha, beta) = (n.float("alpha", 0.2), n.float("beta", 0.5));
            let y = reader.unary(Activation::Affine(alpha, beta), n.input(0)?)?;
            Ok(vec![reader.unary(Activation::Clip(0.0, 1.0), &y)?])
        }
        "Selu" => {
            let (alpha, gamma) = (n.float("alpha", 1.673_263_2), n.float("gamma", 1.050_701));
            let y = reader.unary(Activation::Elu(alpha), n.input(0)?)?;
            Ok(vec![reader.unary(Activation::Affine(gamma, 0.0), &y)?])
        }
        "Swish" => {
            let x = n.input(0)?;
            let scaled = reader.unary(Activation::Affine(n.float("alpha", 1.0), 0.0), x)?;
            let gate = reader.unary(Activation::Sigmoid, &scaled)?;
            Ok(vec![reader.binary(Arithmetic::Mul, x, &gate)?])
        }
        "HardSwish" => {
            let gate = reader.unary(Activation::Affine(1.0 / 6.0, 0.5), n.input(0)?)?;
            let gate = reader.unary(Activation::Clip(0.0, 1.0), &gate)?;
            Ok(vec![reader.binary(Arithmetic::Mul, n.input(0)?, &gate)?])
        }
        "Mish" => {
            let gate = reader.unary(Activation::Softplus, n.input(0)?)?;
            let gate = reader.unary(Activation::Tanh, &gate)?;
            Ok(vec![reader.binary(Arithmetic::Mul, n.input(0)?, &gate)?])
        }
        "Einsum" => Ok(vec![einsum::apply(reader, n)?]),
        "PRelu" => {
            // max(x, 0) + slope · min(x, 0)
            let (x, slope) = (n.input(0)?, n.input(1)?);
            let (above, below) =
                (reader.unary(Activation::Relu, x)?, reader.unary(Activation::Clip(f64::NEG_INFINITY, 0.0), x)?);
            let below = reader.binary(Arithmetic::Mul, &below, slope)?;
            Ok(vec![reader.binary(Arithmetic::Add, &above, &below)?])
        }
        "Mod" => match (n.input(0)?, n.input(1)?) {
            (a @ Value::Known(_), b @ Value::Known(_)) => {
                Ok(vec![reader.known(a, b, true, |x, y, _| if y == 0.0 { 0.0 } else { x.rem_euclid(y) })?])
            }
            _ => Err("is of data; only of fixed numbers is it in this version".into()),
        },
        "Where" => {
            let (c, a, b) = (n.input(0)?, n.input(1)?, n.input(2)?);
            if let (Value::Known(c), Value::Known(x), Value::Known(y)) = (c, a, b) {
                let shape = reader.broadcast(&[n.input(0)?, a, b])?;
                let all = [c, x, y].map(|v| reader.expanded(&Value::Known(v.clone()), &shape));
                let [Ok(Value::Known(c)), Ok(Value::Known(x)), Ok(Value::Known(y))] = all else {
                    return Err("does not broadcast".into());
                };
                let pick = |i: usize| if c.data[i] != 0.0 { x.data[i] } else { y.data[i] };
                let data = (0..c.data.len()).map(pick).collect();
                return Ok(vec![Value::Known(Array { shape, data, integer: x.integer && y.integer })]);
            }
            Ok(vec![reader.clustered(Select, [c, a, b])?])
        }
        "" => Err("has no type".into()),
        other => {
            Err(format!("is an operator that is not in this version; {other} is unknown to it (opset {})", n.opset))
        }
    }
}

fn constant(context: &Context<'_>, n: &Node<'_>) -> Op<Array> {
    if let Some(t) = n.attribute("value").and_then(|a| a.t.as_ref()) {
        return file::tensor(context.path, t).map_err(|e| e.message);
    }
    let scalar = |x: f64, integer| Array { shape: vec![], data: vec![x], integer };
    if let Some(a) = n.attribute("value_float").and_then(|a| a.f) {
        return Ok(scalar(a.into(), false));
    }
    if let Some(a) = n.attribute("value_int").and_then(|a| a.i) {
        return Ok(scalar(a as f64, true));
    }
    if let Some(a) = n.attribute("value_floats") {
        let data: Vec<f64> = a.floats.iter().map(|&x| x.into()).collect();
        return Ok(Array { shape: vec![data.len()], data, integer: false });
    }
    match n.attribute("value_ints") {
        Some(a) => Ok(Array::row(a.ints.iter().map(|&x| x as f64).collect())),
        None => Err("has a value of a kind that cannot be read".into()),
    }
}
