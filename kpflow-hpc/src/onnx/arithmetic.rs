//! Functions number by number, of tensors whose element types say what they mean.

use super::element::Element;
use super::file::{count, Array};
use super::reader::{key, Op, Reader};
use super::value::{broadcast, Value};
use kpflow_core::model::functions::Arithmetic;
use kpflow_core::model::{Activation, Form, Operand, Real, UnitWise};
use kpflow_core::Scalar;

/// What no derivative passes: whole quotients and powers.
#[derive(Clone, Copy, Debug)]
struct Whole(Arithmetic);

impl UnitWise<2, 1> for Whole {
    fn eval<R: Real>(&self, [a, b]: [R; 2]) -> [R; 1] {
        [R::constant(whole(self.0, a.value().f64(), b.value().f64()))]
    }
}

/// aᵇ for an exponent that does not depend on the parameters.
#[derive(Clone, Copy, Debug)]
struct FixedPower;

impl UnitWise<2, 1> for FixedPower {
    fn eval<R: Real>(&self, [a, b]: [R; 2]) -> [R; 1] {
        [a.pow(b.value().f64())]
    }
}

/// √x of a sum of squares, with derivative 0 at 0 as PyTorch's norms have it.
#[derive(Clone, Copy, Debug)]
struct Norm;

impl UnitWise<1, 1> for Norm {
    fn eval<R: Real>(&self, [x]: [R; 1]) -> [R; 1] {
        [if x.value() == R::constant(0.0).value() { R::constant(0.0) } else { x.sqrt() }]
    }
}

/// The remainder of a division: of the divisor's sign, or (`fmod`) of the dividend's.
#[derive(Clone, Copy, Debug)]
pub struct Remainder {
    /// Whether the quotient is cut instead of rounded down.
    pub fmod: bool,
}

impl Remainder {
    /// The remainder and the quotient.
    fn of(self, a: f64, b: f64) -> (f64, f64) {
        let rest = a % b;
        let rest = if !self.fmod && rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest };
        (rest, ((a - rest) / b).round())
    }
}

impl UnitWise<2, 1> for Remainder {
    fn eval<R: Real>(&self, [a, b]: [R; 2]) -> [R; 1] {
        let (rest, quotient) = self.of(a.value().f64(), b.value().f64());
        let linear = a - b * R::constant(quotient);
        // The value itself is exact.
        [R::constant(rest) + (linear - R::constant(linear.value().f64()))]
    }
}

impl<T: Scalar> Reader<T> {
    /// Applies a function of one number; whole numbers stay whole.
    pub fn unary(&mut self, f: Activation, value: &Value) -> Op<Value> {
        if let Value::Known(a) = value {
            let data = a.data.iter().map(|&x| f.of(x)).collect();
            return Ok(Value::Known(Array { data, ..a.clone() }));
        }
        Ok(self.unit(f, value)?.typed(value.element()))
    }

    /// Applies a unit-wise function of one number that has no constant form.
    pub fn unit<F: UnitWise<1, 1> + Send + 'static>(&mut self, f: F, value: &Value) -> Op<Value> {
        // As it lies: every number has its own.
        let (input, flipped) = match value {
            Value::Computed(c) => (c.variable, c.flipped),
            Value::Known(_) | Value::Parameter(_) | Value::Sequence(_) => (self.variable(value)?, false),
        };
        let y = self.network.cluster(f, [self.network.read(input)]);
        let shape = value.shape().to_vec();
        Ok(if flipped { self.flipped(shape, y) } else { self.computed(shape, y) })
    }

    /// √x; of a sum of squares it is a norm.
    pub fn root(&mut self, x: &Value) -> Op<Value> {
        if self.is_square(x) {
            return self.unit(Norm, x);
        }
        self.unary(Activation::Sqrt, x)
    }

    /// Whether a computed tensor is made of squares, or of sums of them.
    pub fn is_square(&self, x: &Value) -> bool {
        matches!(x, Value::Computed(c) if self.squares.contains(&c.variable))
    }

    /// Remembers that a tensor is.
    pub fn square(&mut self, x: &Value) {
        if let Value::Computed(c) = x {
            self.squares.insert(c.variable);
        }
    }

    /// Applies a unit-wise function of several tensors, broadcast.
    pub fn clustered<F, const I: usize>(&mut self, f: F, values: [&Value; I]) -> Op<Value>
    where
        F: UnitWise<I, 1> + Send + 'static,
    {
        let shape = self.broadcast(&values)?;
        let width = shape.last().copied().unwrap_or(1).max(1);
        let mut reads = [Operand::default(); I];
        if let Some(pixels) = self.pixels(&values, &shape) {
            for (read, value) in reads.iter_mut().zip(values) {
                let variable = self.pixelwise(value, &shape, pixels)?;
                *read = self.network.read(variable);
            }
            let y = self.network.cluster(f, reads);
            return Ok(self.flipped(shape, y));
        }
        for (read, value) in reads.iter_mut().zip(values) {
            let value = self.expanded(value, &shape)?;
            *read = self.rows(&value, width)?;
        }
        let y = self.network.cluster(f, reads);
        Ok(self.computed(shape, y))
    }

    /// Applies a unit-wise function of two tensors, known or computed; the result has this element type.
    pub fn pairwise<F>(&mut self, f: F, a: &Value, b: &Value, element: Element) -> Op<Value>
    where
        F: UnitWise<2, 1> + Send + 'static,
    {
        if let (Value::Known(_), Value::Known(_)) = (a, b) {
            return self.known(a, b, element, |x, y| f.eval([x, y])[0]);
        }
        Ok(self.clustered(f, [a, b])?.typed(element))
    }

    /// The shape that these broadcast to.
    pub fn broadcast(&self, values: &[&Value]) -> Op<Vec<usize>> {
        let shapes: Vec<&[usize]> = values.iter().map(|v| v.shape()).collect();
        let shape = broadcast(&shapes).filter(|s| count(s).is_some());
        shape.ok_or_else(|| format!("has inputs of shapes {shapes:?}, which do not broadcast"))
    }

    /// Applies an operation of two tensors.
    pub fn binary(&mut self, op: Arithmetic, a: &Value, b: &Value) -> Op<Value> {
        // A power has the type of its base; all others are of two of one type.
        let element = if op == Arithmetic::Pow || !b.element().is_float() { a.element() } else { b.element() };
        if matches!(op, Arithmetic::Div | Arithmetic::Pow) && element.is_integer() {
            return self.pairwise(Whole(op), a, b, element);
        }
        let y = self.of_numbers(op, a, b)?.typed(element);
        match (element, &y) {
            // Few bits overflow; of many, and computed, it is not looked for.
            (Element::Integer { bits, .. }, Value::Known(_)) if bits < 64 => super::cast::cast(self, &y, element),
            (Element::Integer { bits, signed }, _) if bits <= 16 => {
                let all = y.typed(Element::LONG);
                super::cast::cast(self, &all, Element::Integer { bits, signed })
            }
            _ => Ok(y),
        }
    }

    /// The same, whatever the type.
    fn of_numbers(&mut self, op: Arithmetic, a: &Value, b: &Value) -> Op<Value> {
        if let (Value::Known(_), Value::Known(_)) = (a, b) {
            return self.known(a, b, a.element(), |x, y| number(op, x, y));
        }
        if let Some(f) = one_sided(op, a, b) {
            // A number that is known needs no variable; the result has the shape of both.
            let (other, shape) = (if matches!(a, Value::Known(_)) { b } else { a }, self.broadcast(&[a, b])?);
            if f == Activation::Pow(0.5) {
                return Ok(self.root(other)?.reshaped(shape));
            }
            let y = self.unit(f, other)?;
            if f == Activation::Pow(2.0) {
                self.square(&y);
            }
            return Ok(y.reshaped(shape));
        }
        if op == Arithmetic::Pow && !self.depends(b) {
            return self.clustered(FixedPower, [a, b]);
        }
        // A gain: x ⊙ w along the last axis.
        for (x, w) in [(a, b), (b, a)] {
            if let (Arithmetic::Mul, Value::Computed(_), Value::Parameter(w)) = (op, x, w) {
                let width = x.shape().last().copied().unwrap_or(1);
                let row = w.shape.iter().rev().skip(1).all(|&d| d == 1) && w.shape.last() == Some(&width);
                if row && w.shape.len() <= x.shape().len() && !self.free.contains_key(&key(&w.places)) {
                    let shape = x.shape().to_vec();
                    let weight = self.weight(&Value::Parameter(w.clone()), None, width, 1)?;
                    let input = self.rows(x, width)?;
                    let y = self.network.site(Form::Gain, weight, input);
                    return Ok(self.computed(shape, y));
                }
            }
        }
        let y = self.clustered(op, [a, b])?;
        match (op, a, b) {
            (Arithmetic::Mul, Value::Computed(a), Value::Computed(b)) if a.variable == b.variable => self.square(&y),
            _ => {}
        }
        Ok(y)
    }

    /// Whether a tensor changes with the parameters.
    fn depends(&self, value: &Value) -> bool {
        match value {
            Value::Known(_) | Value::Sequence(_) => false,
            Value::Parameter(_) => true,
            Value::Computed(c) => self.network.depends_on_weights(c.variable),
        }
    }

    /// An operation of two known tensors.
    pub fn known(&mut self, a: &Value, b: &Value, element: Element, f: impl Fn(f64, f64) -> f64) -> Op<Value> {
        let shape = self.broadcast(&[a, b])?;
        let (a, b) = (self.expanded(a, &shape)?, self.expanded(b, &shape)?);
        let (Value::Known(a), Value::Known(b)) = (a, b) else { return Err("is not known".into()) };
        let data = a.data.iter().zip(&b.data).map(|(&x, &y)| f(x, y)).collect();
        Ok(Value::Known(Array { shape, data, element }))
    }
}

/// A quotient cut towards zero, a power cut; by 0 there is none.
fn whole(op: Arithmetic, a: f64, b: f64) -> f64 {
    match op {
        Arithmetic::Div if b == 0.0 => f64::NAN,
        Arithmetic::Div => (a / b).trunc(),
        Arithmetic::Add
        | Arithmetic::Sub
        | Arithmetic::Mul
        | Arithmetic::Max
        | Arithmetic::Min
        | Arithmetic::Pow
        | Arithmetic::Step(_) => a.pow(b).trunc(),
    }
}

/// What an operation does with numbers.
fn number(op: Arithmetic, x: f64, y: f64) -> f64 {
    match op {
        Arithmetic::Add => x + y,
        Arithmetic::Sub => x - y,
        Arithmetic::Mul => x * y,
        Arithmetic::Div => x / y,
        Arithmetic::Max => Real::max(x, y),
        Arithmetic::Min => -Real::max(-x, -y),
        Arithmetic::Pow => x.powf(y),
        Arithmetic::Step(s) => x + s * y,
    }
}

/// An operation with one known number as a function of the other.
fn one_sided(op: Arithmetic, a: &Value, b: &Value) -> Option<Activation> {
    let single = |v: &Value| {
        let Value::Known(k) = v else { return None };
        (k.data.len() == 1).then(|| k.data[0])
    };
    match (op, single(a), single(b)) {
        (Arithmetic::Add, Some(c), _) | (Arithmetic::Add, _, Some(c)) => Some(Activation::Affine(1.0, c)),
        (Arithmetic::Sub, _, Some(c)) => Some(Activation::Affine(1.0, -c)),
        (Arithmetic::Sub, Some(c), _) => Some(Activation::Affine(-1.0, c)),
        (Arithmetic::Mul, Some(c), _) | (Arithmetic::Mul, _, Some(c)) => Some(Activation::Affine(c, 0.0)),
        (Arithmetic::Div, _, Some(c)) => Some(Activation::Affine(c.recip(), 0.0)),
        (Arithmetic::Pow, _, Some(p)) => Some(Activation::Pow(p)),
        (Arithmetic::Max, _, Some(c)) | (Arithmetic::Max, Some(c), _) => Some(Activation::Clip(c, f64::INFINITY)),
        (Arithmetic::Min, _, Some(c)) | (Arithmetic::Min, Some(c), _) => Some(Activation::Clip(f64::NEG_INFINITY, c)),
        _ => None,
    }
}
