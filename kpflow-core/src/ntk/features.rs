//! Closed forms for unit-wise models: what a position contributes to K, as one row of numbers.
//!
//! Where every site acts on the state through one unit-wise cluster, D_p is a few diagonals ("bands"). Then the pair (u_p, D_p) is a
//! short row, and traces and norms of K follow from rows and pairs of rows.

use super::forms::uses;
use crate::error::length;
use crate::model::{Coupled, Form, Graph, Linearization, Node, Tile, VariableId};
use crate::probe::dot;
use crate::{Error, Scalar};
use core::ops::Range;

/// One diagonal of D: site channels to units of one watched variable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Band {
    /// Which site, in the order of the graph.
    pub site: usize,
    /// The site's first channel.
    pub channel: usize,
    /// The first unit of the state.
    pub unit: usize,
    /// How many channels and units.
    pub width: usize,
    /// Where the coefficients are in a row of features.
    pub place: usize,
    coefficients: usize,
    arity: usize,
    index: usize,
}

/// The rows of features of a unit-wise linearised model.
pub struct Features<'a, T> {
    lin: &'a Linearization<'a, T>,
    len: usize,
}

impl<'a, T: Scalar> Features<'a, T> {
    /// Makes the features; `None` if some site reaches the state otherwise than through one unit-wise cluster, or a weight
    /// is used at more than one site, or the sites do not act at every step of the state.
    pub fn new(lin: &'a Linearization<'a, T>) -> Option<Self> {
        let graph = lin.graph();
        if graph.coupled().any(|s| s.form != Form::Dense) {
            return None;
        }
        for (i, site) in graph.coupled().enumerate() {
            let once = uses(graph, &site).count() == 1;
            let watched = graph.variables()[site.output].watch.is_some();
            if !once || watched || site.positions != graph.steps() || !reaches_unitwise(graph, &site) {
                return None;
            }
            // Two bands of the same channels and units would have to be added before they are squared.
            let all = || bands(graph).filter(move |b| b.site == i);
            if all().any(|a| all().filter(|b| b.channel == a.channel && b.unit == a.unit).count() > 1) {
                return None;
            }
        }
        let len = inputs_len(graph) + bands(graph).map(|b| b.width).sum::<usize>();
        Some(Self { lin, len })
    }

    /// The model.
    pub(super) fn linearization(&self) -> &Linearization<'a, T> {
        self.lin
    }

    /// The numbers of a row.
    pub fn row_len(&self) -> usize {
        self.len
    }

    /// The rows of all local positions: B·T.
    pub fn rows(&self) -> usize {
        self.lin.shape().trajectories * self.lin.shape().steps
    }

    /// Writes all rows, the row of (b, t) at `b·T + t`: the inputs u of every site (with its 1), then every band's coefficients. Behind the end of a
    /// trajectory there are zeros.
    ///
    /// **Errors**: unless `out` is rows × row_len long.
    pub fn write(&self, out: &mut [T]) -> Result<(), Error> {
        self.lin.require_values()?;
        length(self.rows().saturating_mul(self.len), out.len())?;
        let graph = self.lin.graph();
        for i in 0..self.lin.tiles() {
            let tile = self.lin.view(i);
            for (k, b) in self.lin.tile_range(i).enumerate() {
                for t in 0..graph.steps() {
                    let row = &mut out[(b * graph.steps() + t) * self.len..][..self.len];
                    match tile.is_behind(t, k) {
                        true => row.fill(T::zero()),
                        false => self.write_row(&tile, t, k, row),
                    }
                }
            }
        }
        Ok(())
    }

    fn write_row(&self, tile: &Tile<'_, T>, t: usize, b: usize, out: &mut [T]) {
        let graph = self.lin.graph();
        let mut at = 0;
        for site in graph.coupled() {
            let u = tile.row(site.input, t, b);
            out[at..at + u.len()].copy_from_slice(u);
            at += u.len();
            if site.bias {
                out[at] = T::one();
                at += 1;
            }
        }
        for band in bands(graph) {
            let c = tile.coefficients(band.coefficients, band.arity, band.width, t, b);
            out[band.place..band.place + band.width].copy_from_slice(&c[band.index * band.width..][..band.width]);
        }
    }

    /// How many numbers of a row are what sites read; the coefficients behind them follow.
    pub fn inputs_len(&self) -> usize {
        inputs_len(self.lin.graph())
    }

    /// Where u of site number `site` is in a row.
    pub(super) fn inputs_at(&self, site: usize) -> Range<usize> {
        let graph = self.lin.graph();
        let start: usize = graph.coupled().take(site).map(|s| input_len(&s)).sum();
        start..start + graph.coupled().nth(site).map_or(0, |s| input_len(&s))
    }

    /// u of site number `site`, in a row.
    pub(super) fn inputs<'r>(&self, site: usize, row: &'r [T]) -> &'r [T] {
        &row[self.inputs_at(site)]
    }

    /// G[p, p'] of site number `site`.
    pub(super) fn gram(&self, site: usize, p: &[T], q: &[T]) -> T {
        T::of(dot(self.inputs(site, p), self.inputs(site, q)))
    }

    /// The numbers of a row, of which there has to be one at least to cut by, if `rows` are whole ones.
    pub(super) fn whole_rows(&self, rows: &[T]) -> Result<usize, Error> {
        let len = self.len.max(1);
        length(rows.len() / len * len, rows.len())?;
        Ok(len)
    }

    /// tr K's part of the rows given: Σ_p Σ_sites G[p, p] ‖D_p‖_F², in double precision. **Cost**: linear in the rows.
    /// **Errors**: if the rows are not whole ones.
    pub fn trace(&self, rows: &[T]) -> Result<f64, Error> {
        let graph = self.lin.graph();
        let row = |p: &[T]| -> f64 {
            bands(graph)
                .map(|b| {
                    let c = &p[b.place..b.place + b.width];
                    self.gram(b.site, p, p).f64() * dot(c, c)
                })
                .sum()
        };
        Ok(rows.chunks_exact(self.whole_rows(rows)?).map(row).sum())
    }

    /// Calls `f(a, b, e)` for the diagonals that Σ_sites G[p, q] D_p D_qᵀ is made of, one for each pair of watched variables: e_i stands at
    /// (a + i, b + i). `scratch`: N numbers.
    pub(super) fn diagonals(&self, p: &[T], q: &[T], scratch: &mut [T], mut f: impl FnMut(usize, usize, &[T])) {
        let graph = self.lin.graph();
        for a in watched(graph) {
            for b in watched(graph) {
                let e = &mut scratch[..graph.variables()[a].width];
                e.fill(T::zero());
                let (ua, ub) = (unit_of(graph, a), unit_of(graph, b));
                let (mut site, mut g) = (usize::MAX, T::zero());
                for x in bands(graph).filter(|x| x.unit == ua) {
                    if x.site != site {
                        (site, g) = (x.site, self.gram(x.site, p, q));
                    }
                    for y in bands(graph).filter(|y| y.unit == ub && y.site == x.site && y.channel == x.channel) {
                        let (cp, cq) = (&p[x.place..x.place + x.width], &q[y.place..y.place + y.width]);
                        for ((e, c), d) in e.iter_mut().zip(cp).zip(cq) {
                            *e += g * *c * *d;
                        }
                    }
                }
                f(ua, ub, e);
            }
        }
    }
}

pub(super) fn input_len(site: &Coupled) -> usize {
    site.rows + usize::from(site.bias)
}

fn inputs_len<T: Scalar>(graph: &Graph<'_, T>) -> usize {
    graph.coupled().map(|s| input_len(&s)).sum()
}

fn watched<'g, T: Scalar>(graph: &'g Graph<'_, T>) -> impl Iterator<Item = VariableId> + 'g {
    (0..graph.variables().len()).map(VariableId).filter(|&v| graph.variables()[v].watch.is_some())
}

fn unit_of<T: Scalar>(graph: &Graph<'_, T>, variable: VariableId) -> usize {
    graph.variables()[variable].watch.map_or(0, |w| w.offset)
}

/// Whether all that reads the site's output is clusters that write the state, at the same step.
fn reaches_unitwise<T: Scalar>(graph: &Graph<'_, T>, site: &Coupled) -> bool {
    let layout = |v: VariableId| {
        let v = &graph.variables()[v];
        v.watch.is_some_and(|w| w.stride == graph.units() && w.offset + v.width <= graph.units())
    };
    graph.nodes().iter().all(|node| match node {
        Node::Input { .. } | Node::Constant { .. } => true,
        Node::Site { input, .. } => input.variable != site.output,
        Node::Mixing { function, inputs, .. } => inputs[..function.inputs()].iter().all(|o| o.variable != site.output),
        Node::Cluster { function, inputs, outputs, .. } => {
            let reads = inputs[..function.inputs()].iter().any(|o| o.variable == site.output);
            let delayed = inputs[..function.inputs()].iter().any(|o| o.variable == site.output && o.delayed);
            !reads || (!delayed && outputs[..function.outputs()].iter().all(|&o| layout(o)))
        }
    })
}

/// All bands, in the order of clusters, inputs, outputs.
pub(super) fn bands<'g, T: Scalar>(graph: &'g Graph<'_, T>) -> impl Iterator<Item = Band> + Clone + 'g {
    let clusters = graph.nodes().iter().filter_map(|n| match *n {
        Node::Cluster { function, ref inputs, ref outputs, coefficients, .. } => {
            Some((&inputs[..function.inputs()], &outputs[..function.outputs()], coefficients))
        }
        Node::Input { .. } | Node::Constant { .. } | Node::Site { .. } | Node::Mixing { .. } => None,
    });
    let triples = clusters.flat_map(move |(inputs, outputs, coefficients)| {
        inputs.iter().enumerate().flat_map(move |(i, input)| {
            let of_input = graph.coupled().enumerate().filter(|(_, c)| c.output == input.variable);
            of_input.flat_map(move |(site, _)| {
                outputs.iter().enumerate().map(move |(k, &o)| Band {
                    site,
                    channel: input.offset,
                    unit: unit_of(graph, o),
                    width: input.width,
                    place: 0,
                    coefficients,
                    arity: inputs.len() * outputs.len(),
                    index: k * inputs.len() + i,
                })
            })
        })
    });
    let mut place = inputs_len(graph);
    triples.map(move |mut band| {
        band.place = place;
        place += band.width;
        band
    })
}
