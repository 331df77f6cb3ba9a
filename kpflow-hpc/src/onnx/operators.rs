//! Every operator by its name.

use super::arithmetic::Remainder;
use super::element::Element;
use super::file::{self, Array};
use super::reader::{Op, Reader};
use super::value::Value;
use super::{control, einsum, layers, logic, recurrent, resize, shapes, Context, Node};
use kpflow_core::model::functions::Arithmetic;
use kpflow_core::model::Activation;
use kpflow_core::Scalar;

/// What is one function of one number.
fn unary(n: &Node<'_>) -> Op<Option<Activation>> {
    Ok(Some(match n.kind() {
        "Relu" => Activation::Relu,
        "Tanh" => Activation::Tanh,
        "Sigmoid" => Activation::Sigmoid,
        "Softplus" => Activation::Softplus,
        "Erf" => Activation::Erf,
        "Exp" => Activation::Exp,
        "Log" => Activation::Ln,
        "Sin" => Activation::Sin,
        "Cos" => Activation::Cos,
        "Abs" => Activation::Abs,
        "Neg" => Activation::Affine(-1.0, 0.0),
        "Reciprocal" => Activation::Pow(-1.0),
        "Gelu" => match n.text("approximate") {
            None | Some("none") => Activation::Gelu,
            Some("tanh") => Activation::GeluTanh,
            Some(other) => return Err(format!("has approximate = \"{other}\"; \"none\" and \"tanh\" are known")),
        },
        "LeakyRelu" => Activation::LeakyRelu(n.float("alpha", 0.01)),
        "Elu" => Activation::Elu(n.float("alpha", 1.0)),
        _ => return Ok(None),
    }))
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

/// Applies a node; one value for each of its outputs, as many as it makes.
pub(super) fn apply<T: Scalar>(reader: &mut Reader<T>, context: &Context<'_>, n: &Node<'_>) -> Op<Vec<Value>> {
    let kind = n.kind();
    if let Some(f) = unary(n)? {
        return Ok(vec![reader.unary(f, n.input(0)?)?]);
    }
    if let Some(op) = binary(kind) {
        if n.node.input.len() == 2 {
            let (a, b) = n.aligned()?;
            return Ok(vec![reader.binary(op, &a, &b)?]);
        }
        let mut value = n.input(0)?.clone();
        for i in 1..n.node.input.len() {
            value = reader.binary(op, &value, n.input(i)?)?;
        }
        return Ok(vec![value]);
    }
    if let Some(value) = logic::apply(reader, n)? {
        return Ok(vec![value]);
    }
    if let Some(values) = shapes::apply(reader, context, n)? {
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
        "Constant" => Ok(vec![constant(reader, context, n)?]),
        "Sqrt" => Ok(vec![reader.root(n.input(0)?)?]),
        "FastGelu" => {
            let x = n.input(0)?;
            let x = match n.optional(1)? {
                Some(bias) => reader.binary(Arithmetic::Add, x, bias)?,
                None => x.clone(),
            };
            Ok(vec![reader.unary(Activation::GeluTanh, &x)?])
        }
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
            let (alpha, gamma) = if n.opset < 6 { (1.6732, 1.0507) } else { (1.673_263_2, 1.050_701) };
            let (alpha, gamma) = (n.float("alpha", alpha), n.float("gamma", gamma));
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
        "Mod" => {
            let (a, b) = (n.input(0)?, n.input(1)?);
            let fmod = n.integer("fmod", 0) != 0;
            if !fmod && a.element().is_float() {
                return Err(
                    "takes remainders of floating-point numbers with fmod = 0, which ONNX does not define".into()
                );
            }
            Ok(vec![reader.pairwise(Remainder { fmod }, a, b, a.element())?])
        }
        "" => Err("has no type".into()),
        other => {
            Err(format!("is an operator that is not in this version; {other} is unknown to it (opset {})", n.opset))
        }
    }
}

/// The tensor of a Constant node: a parameter where the user names it as one.
fn constant<T: Scalar>(reader: &mut Reader<T>, context: &Context<'_>, n: &Node<'_>) -> Op<Value> {
    let array = constant_array(context, n)?;
    let name = n.node.output.first().map_or("", String::as_str);
    if array.element.is_float() && !array.data.is_empty() {
        if context.chosen.contains(name) {
            return match array.data.iter().all(|x| x.is_finite()) {
                true => {
                    let value = reader.parameter(name, array);
                    if context.free.contains(name) {
                        reader.freed(&value)
                    } else {
                        Ok(value)
                    }
                }
                false => Err("holds numbers that are not finite, and cannot be a parameter".into()),
            };
        }
        if array.data.len() > 1 {
            reader.constants.push(name.to_string());
        }
    }
    Ok(Value::Known(array))
}

fn constant_array(context: &Context<'_>, n: &Node<'_>) -> Op<Array> {
    if let Some(t) = n.attribute("value").and_then(|a| a.t.as_ref()) {
        return file::tensor(context.path, t).map_err(|e| e.message);
    }
    let scalar = |x: f64, element| Array { shape: vec![], data: vec![x], element };
    if n.attribute("value_float").is_some() {
        return Ok(scalar(n.float("value_float", 0.0), Element::Float));
    }
    if n.attribute("value_int").is_some() {
        return Ok(scalar(n.integer("value_int", 0) as f64, Element::LONG));
    }
    if let Some(a) = n.attribute("value_floats") {
        let data: Vec<f64> = a.floats.iter().map(|&x| x.into()).collect();
        return Ok(Array { shape: vec![data.len()], data, element: Element::Float });
    }
    match n.attribute("value_ints") {
        Some(a) => Ok(Array::row(a.ints.iter().map(|&x| x as f64).collect())),
        None => Err("has a value of a kind that cannot be read".into()),
    }
}
