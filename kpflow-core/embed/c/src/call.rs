//! The calls, for either precision: arguments are checked, then it is the core's turn.

use crate::types::{Distribution, Model, Operator, Sizes, Slice, SliceMut, Status, Trace};
use core::ops::Range;
use kpflow_core::machine::Portable;
use kpflow_core::model::{self, BuildError, GraphBuffer, Linearization, LinearizeError, RecurrentWeights};
use kpflow_core::ntk::{scratch_len, Constraint, Coupling, Ntk, ParameterOperator, Propagator, Side};
use kpflow_core::operator::Adjoint;
use kpflow_core::probe::{self, hutchinson};
use kpflow_core::{BlockMut, BlockRef, Error, LinearOperator, Scalar, Shape};

/// Trajectories of a tile: as many rows as the portable product keeps in registers.
const TILE: usize = 4;

pub(crate) type Outcome = Result<(), Status>;

impl From<BuildError> for Status {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Size { .. } => Self::Length,
            _ => Self::Refused,
        }
    }
}
impl From<LinearizeError> for Status {
    fn from(error: LinearizeError) -> Self {
        match error {
            LinearizeError::Token { .. } => Self::Refused,
            _ => Self::Length,
        }
    }
}
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Scratch { .. } | Error::Length { .. } => Self::Length,
            Error::Range { .. } => Self::Probe,
            _ => Self::Refused,
        }
    }
}

/// Turns the outcome of a call into its status, a panic included.
pub(crate) fn status(call: impl FnOnce() -> Outcome) -> Status {
    #[cfg(feature = "std")]
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).unwrap_or(Err(Status::Panic));
    #[cfg(not(feature = "std"))]
    let outcome = call();
    outcome.err().unwrap_or(Status::Ok)
}

fn check_pointer<T>(data: *const T, len: usize) -> Outcome {
    if data.is_null() {
        return Err(Status::Null);
    }
    if !data.is_aligned() {
        return Err(Status::Alignment);
    }
    if len > isize::MAX as usize / size_of::<T>() {
        return Err(Status::Length);
    }
    Ok(())
}

/// Where numbers lie.
fn place<T>(data: *const T, len: usize) -> Range<usize> {
    data.addr()..data.addr().saturating_add(len.saturating_mul(size_of::<T>()))
}

/// Fails if memory that is written overlaps anything else.
fn require_disjoint(written: &[Range<usize>], read: &[Range<usize>]) -> Outcome {
    let meet = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
    let among = |i: usize| written[i + 1..].iter().chain(read).any(|other| meet(&written[i], other));
    if (0..written.len()).any(among) {
        return Err(Status::Overlap);
    }
    Ok(())
}

impl<T: Scalar> Slice<T> {
    fn place(&self) -> Range<usize> {
        place(self.data, self.len)
    }
    fn is_absent(&self) -> bool {
        self.data.is_null() && self.len == 0
    }
    /// # Safety
    /// The pointer points to `len` numbers that nobody writes during `'a`.
    unsafe fn get<'a>(self) -> Result<&'a [T], Status> {
        check_pointer(self.data, self.len)?;
        // SAFETY: not null, aligned, not too long; the rest is the caller's promise.
        Ok(unsafe { core::slice::from_raw_parts(self.data, self.len) })
    }
}

impl<T: Scalar> SliceMut<T> {
    fn place(&self) -> Range<usize> {
        place(self.data, self.len)
    }
    /// # Safety
    /// The pointer points to `len` numbers that nobody else reads or writes during `'a`.
    unsafe fn get<'a>(self) -> Result<&'a mut [T], Status> {
        check_pointer(self.data, self.len)?;
        // SAFETY: not null, aligned, not too long; the rest is the caller's promise.
        Ok(unsafe { core::slice::from_raw_parts_mut(self.data, self.len) })
    }
}

/// A model whose sizes are sane, and whose weights are readable and of their lengths.
struct Layer<'a, T> {
    cell: model::Cell,
    weights: RecurrentWeights<'a, T>,
    shape: Shape,
    /// Where the weights lie.
    places: [Range<usize>; 4],
}

impl<'a, T: Scalar> Layer<'a, T> {
    /// # Safety
    /// `model` is null or points to a model whose slices point to as many numbers as they say, not written during `'a`.
    unsafe fn read(model: *const Model<T>, vectors: usize) -> Result<Self, Status> {
        check_pointer(model, 1)?;
        // SAFETY: not null and aligned; every bit pattern is a model.
        let m = unsafe { *model };
        let activation = match m.activation {
            0 => model::Activation::Tanh,
            1 => model::Activation::Relu,
            2 => model::Activation::Linear,
            _ => return Err(Status::Choice),
        };
        let cell = match m.cell {
            0 => model::Cell::rnn(activation),
            1 => model::Cell::gru(),
            2 => model::Cell::lstm(),
            _ => return Err(Status::Choice),
        };
        require_size(&m, vectors)?;
        let bias = |b: Slice<T>| {
            // SAFETY: the caller's promise.
            (!b.is_absent()).then(|| unsafe { b.get() }).transpose()
        };
        // SAFETY: the caller's promise, for both.
        let (w_ih, w_hh) = unsafe { (m.w_ih.get()?, m.w_hh.get()?) };
        let (b_ih, b_hh) = (bias(m.b_ih)?, bias(m.b_hh)?);
        let rows = cell.gates() * m.hidden;
        let biases = [b_ih, b_hh].into_iter().flatten();
        if w_ih.len() != rows * m.n_in || w_hh.len() != rows * m.hidden || biases.clone().any(|b| b.len() != rows) {
            return Err(Status::Length);
        }
        Ok(Self {
            weights: RecurrentWeights { n_in: m.n_in, hidden: m.hidden, w_ih, w_hh, b_ih, b_hh },
            shape: Shape::new(m.trajectories, m.steps, cell.states() * m.hidden),
            cell,
            places: [m.w_ih.place(), m.w_hh.place(), m.b_ih.place(), m.b_hh.place()],
        })
    }

    /// Fails unless what is written overlaps neither the weights nor anything else.
    fn require_disjoint<const R: usize>(&self, written: &[Range<usize>], read: [Range<usize>; R]) -> Outcome {
        require_disjoint(written, &read)?;
        require_disjoint(written, &self.places)
    }

    /// Calls `f` with the linearisation that an arena holds.
    fn with_arena(&self, arena: &[T], f: impl FnOnce(&Linearization<'_, T>) -> Outcome) -> Outcome {
        let mut buffer = GraphBuffer::default();
        let graph = self.cell.graph(self.weights, self.shape.steps, &mut buffer)?;
        f(&Linearization::from_arena(&graph, self.shape.trajectories, TILE, arena)?)
    }
}

/// Fails for a size of 0, and where some array would not fit the address space, with plenty to spare: so that no product of sizes overflows.
fn require_size<T>(m: &Model<T>, vectors: usize) -> Outcome {
    let sizes = [m.n_in, m.hidden, m.steps, m.trajectories, vectors];
    let [n_in, h, t, b, v] = sizes.map(|n| n as f64);
    // No array has more: values and coefficients, δW, Gram matrices of 256 columns; for every vector.
    let numbers = v * (b * t * (n_in + 64.0 * h) + 4.0 * h * (n_in + h + 2.0) + 256.0 * TILE as f64 * t);
    if sizes.contains(&0) || numbers * 16.0 * size_of::<T>() as f64 > isize::MAX as f64 {
        return Err(Status::Size);
    }
    Ok(())
}

/// How K and NTK of so many trajectories are computed.
fn coupling(trajectories: usize) -> (Coupling, Side) {
    // The block diagonal over one trajectory is the operator itself, and needs less scratch.
    let coupling = if trajectories == 1 { Coupling::PerTrajectory } else { Coupling::All };
    (coupling, Side::cheaper(trajectories, 1))
}

/// Calls `f` with an operator of a linearisation.
fn with_operator<T: Scalar, R>(
    lin: &Linearization<'_, T>,
    operator: u32,
    f: impl FnOnce(&dyn LinearOperator<T>) -> R,
) -> Result<R, Status> {
    let machine = &Portable;
    let (coupling, side) = coupling(lin.shape().trajectories);
    Ok(match operator {
        o if o == Operator::P as u32 => f(&Propagator::new(lin, machine)),
        o if o == Operator::PTransposed as u32 => f(&Adjoint(Propagator::new(lin, machine))),
        o if o == Operator::PInverse as u32 => f(&Constraint::new(lin, machine)),
        o if o == Operator::PInverseTransposed as u32 => f(&Adjoint(Constraint::new(lin, machine))),
        o if o == Operator::K as u32 => f(&ParameterOperator::with(lin, machine, coupling, side)),
        o if o == Operator::Ntk as u32 => f(&Ntk::with(lin, machine, coupling, side)),
        _ => return Err(Status::Choice),
    })
}

/// Writes one thing.
///
/// # Safety
/// `out` is null or points to memory for it.
unsafe fn write<R>(out: *mut R, value: R) -> Outcome {
    check_pointer(out, 1)?;
    // SAFETY: not null and aligned; the rest is the caller's promise.
    unsafe { out.write(value) };
    Ok(())
}

/// # Safety
/// As the crate's front page says; so for all that follow.
pub(crate) unsafe fn sizes<T: Scalar>(model: *const Model<T>, vectors: usize, out: *mut Sizes) -> Outcome {
    check_pointer(out, 1)?;
    // SAFETY: the caller's promise.
    let layer = unsafe { Layer::read(model, vectors)? };
    let mut buffer = GraphBuffer::default();
    let graph = layer.cell.graph(layer.weights, layer.shape.steps, &mut buffer)?;
    let (b, state) = (layer.shape.trajectories, layer.shape.len());
    let (coupling, side) = coupling(b);
    let scratch = scratch_len(&graph, b, TILE, &Portable, coupling, side, vectors);
    let sizes = Sizes {
        units: layer.shape.units,
        state,
        inputs: b * layer.shape.steps * layer.weights.n_in,
        initial: b * graph.initial_width(),
        parameters: graph.parameters(),
        arena: Linearization::arena_len(&graph, b),
        linearize_scratch: Linearization::scratch_len(&graph, b, TILE, &Portable),
        apply_scratch: scratch,
        trace_scratch: 2 * vectors * state + scratch,
    };
    // SAFETY: the caller's promise.
    unsafe { write(out, sizes) }
}

pub(crate) unsafe fn linearize<T: Scalar>(
    model: *const Model<T>,
    inputs: Slice<T>,
    initial: Slice<T>,
    arena: SliceMut<T>,
    scratch: SliceMut<T>,
) -> Outcome {
    // SAFETY: the caller's promise.
    let layer = unsafe { Layer::read(model, 1)? };
    layer.require_disjoint(&[arena.place(), scratch.place()], [inputs.place(), initial.place()])?;
    // SAFETY: the caller's promise, for all of them; what is written was seen to overlap nothing.
    let (inputs, arena, scratch) = unsafe { (inputs.get()?, arena.get()?, scratch.get()?) };
    // SAFETY: the same.
    let initial = (!initial.is_absent()).then(|| unsafe { initial.get() }).transpose()?;
    let mut buffer = GraphBuffer::default();
    let graph = layer.cell.graph(layer.weights, layer.shape.steps, &mut buffer)?;
    Linearization::new(&graph, &[inputs], initial, layer.shape.trajectories, TILE, arena, scratch, &Portable)?;
    Ok(())
}

pub(crate) unsafe fn state<T: Scalar>(model: *const Model<T>, arena: Slice<T>, out: SliceMut<T>) -> Outcome {
    // SAFETY: the caller's promise.
    let layer = unsafe { Layer::read(model, 1)? };
    layer.require_disjoint(&[out.place()], [arena.place()])?;
    // SAFETY: the caller's promise, for both; what is written was seen to overlap nothing.
    let (arena, out) = unsafe { (arena.get()?, out.get()?) };
    layer.with_arena(arena, |lin| Ok(lin.state(BlockMut::new(lin.shape(), 1, out)?)?))
}

pub(crate) unsafe fn apply<T: Scalar>(
    model: *const Model<T>,
    arena: Slice<T>,
    operator: u32,
    vectors: usize,
    x: Slice<T>,
    y: SliceMut<T>,
    scratch: SliceMut<T>,
) -> Outcome {
    // SAFETY: the caller's promise.
    let layer = unsafe { Layer::read(model, vectors)? };
    layer.require_disjoint(&[y.place(), scratch.place()], [arena.place(), x.place()])?;
    // SAFETY: the caller's promise, for all of them; what is written was seen to overlap nothing.
    let (arena, x, y, scratch) = unsafe { (arena.get()?, x.get()?, y.get()?, scratch.get()?) };
    let shape = layer.shape;
    layer.with_arena(arena, |lin| {
        let (x, y) = (BlockRef::new(shape, vectors, x)?, BlockMut::new(shape, vectors, y)?);
        Ok(with_operator(lin, operator, |op| op.apply(x, y, scratch))??)
    })
}

pub(crate) unsafe fn trace<T: Scalar>(
    model: *const Model<T>,
    arena: Slice<T>,
    operator: u32,
    seed: u64,
    probes: usize,
    vectors: usize,
    scratch: SliceMut<T>,
    out: *mut Trace,
) -> Outcome {
    check_pointer(out, 1)?;
    // SAFETY: the caller's promise.
    let layer = unsafe { Layer::read(model, vectors)? };
    layer.require_disjoint(&[scratch.place()], [arena.place(), place(out, 1)])?;
    // SAFETY: the caller's promise, for both; what is written was seen to overlap nothing.
    let (arena, scratch) = unsafe { (arena.get()?, scratch.get()?) };
    if probes == 0 || probes as u64 > 1 << 32 {
        return Err(Status::Size);
    }
    let len = vectors * layer.shape.len();
    let signs = probe::Probe { seed, stream: 0, distribution: probe::Distribution::Rademacher };
    let mut trace = Trace::default();
    layer.with_arena(arena, |lin| {
        let x = scratch.split_at_mut_checked(len);
        let (x, (y, scratch)) =
            x.and_then(|(x, rest)| Some((x, rest.split_at_mut_checked(len)?))).ok_or(Status::Length)?;
        with_operator(lin, operator, |op| {
            let running = hutchinson(op, &signs, 0..probes, vectors, x, y, scratch)?;
            trace = Trace { value: running.mean(), standard_error: running.standard_error() };
            Ok(())
        })?
    })?;
    // SAFETY: the caller's promise.
    unsafe { write(out, trace) }
}

pub(crate) unsafe fn fill<T: Scalar>(
    seed: u64,
    stream: u32,
    distribution: u32,
    first_vector: usize,
    [vectors, trajectories, steps, units]: [usize; 4],
    out: SliceMut<T>,
) -> Outcome {
    let distribution = match distribution {
        d if d == Distribution::Rademacher as u32 => probe::Distribution::Rademacher,
        d if d == Distribution::Gaussian as u32 => probe::Distribution::Gaussian,
        _ => return Err(Status::Choice),
    };
    // SAFETY: the caller's promise.
    let out = unsafe { out.get()? };
    let sizes = [vectors, trajectories, steps, units];
    sizes.into_iter().try_fold(1usize, usize::checked_mul).ok_or(Status::Size)?;
    let block = BlockMut::new(Shape::new(trajectories, steps, units), vectors, out)?;
    Ok(probe::Probe { seed, stream, distribution }.fill(0, first_vector, block)?)
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::{status, Status};

    #[test]
    fn a_panic_ends_as_a_status() {
        assert_eq!(status(|| panic!("deliberate")), Status::Panic);
        assert_eq!(status(|| Err(Status::Length)), Status::Length);
        assert_eq!(status(|| Ok(())), Status::Ok);
    }
}
