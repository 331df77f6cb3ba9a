//! Which of two equal ways the Kronecker core takes at each part of θ, and what processes send for it.

use crate::model::{Coupled, Graph};
use crate::Scalar;

/// Which of the two equal ways the Kronecker core takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Side {
    /// S → δW = Sᵀ U → U δWᵀ: 4·n_in·n_out flops a position and vector, m·n_θ numbers to sum over trajectories.
    Weight,
    /// S → (U Uᵀ) S: 2·positions·n_out flops a position and vector, nothing of the size of θ. Gains, whose G is not a matrix times I
    /// but diagonal in the unit, go through their few δw all the same.
    Gram,
    /// At each part of θ the one of the two that costs less.
    Cheaper(Costs),
}

/// What the choice of a side depends on. No number depends on the choice but by rounding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Costs {
    /// Trajectories of all processes together.
    pub trajectories: usize,
    /// Processes.
    pub processes: usize,
    /// Flops that a process does in the time in which it sends a number.
    pub number: f64,
    /// Flops that it does in the time of a message, whatever its length, for each vector of a block.
    pub message: f64,
}

impl Costs {
    /// The costs of processes of some 50 GFLOP/s that send 10 GB/s with a latency of 2 µs, blocks of 32 vectors.
    pub fn new(trajectories: usize, processes: usize) -> Self {
        Self { trajectories, processes, number: 40.0, message: 3000.0 }
    }

    /// Whether a part of θ costs less on the Gram side. That side moves more memory, so it has to be better by half.
    fn gram(&self, c: &Coupled) -> bool {
        let (total, processes) = (self.trajectories as f64, self.processes.max(1) as f64);
        let others = (processes - 1.0) / processes;
        let steps = if self.processes > 1 { 2.0 * self.message } else { 0.0 };
        let flops = |gram: bool| total / processes * flops_of(c, gram, self.trajectories);
        let weight = flops(false) + self.number * 2.0 * others * c.len() as f64 + steps;
        let gram = 1.5 * flops(true) + self.number * others * total * c.part.rows as f64 + steps;
        gram < weight
    }
}

/// Flops of the Kronecker core at all uses of a part of θ, a trajectory and vector, where there are `total` trajectories.
fn flops_of(c: &Coupled, gram: bool, total: usize) -> f64 {
    match gram {
        false => 4.0 * c.part.products as f64,
        true => 2.0 * c.part.outputs as f64 * c.part.positions as f64 * total as f64,
    }
}

impl Side {
    /// The [cheaper](Costs) side at each part of θ, for so many trajectories on so many processes.
    pub fn cheaper(trajectories: usize, processes: usize) -> Self {
        Side::Cheaper(Costs::new(trajectories, processes))
    }

    /// Whether a part of θ takes the Gram side.
    pub(super) fn gram(self, part: &Coupled) -> bool {
        match self {
            Side::Weight => false,
            Side::Gram => part.part.has_gram,
            Side::Cheaper(costs) => part.part.has_gram && costs.gram(part),
        }
    }

    /// The same choice, as one for all parts where they all agree.
    pub(super) fn resolved<T: Scalar>(self, graph: &Graph<'_, T>) -> Self {
        let grams = self.parts(graph).0;
        match grams {
            0 => Side::Weight,
            _ if grams == Side::Gram.parts(graph).0 => Side::Gram,
            _ => self,
        }
    }

    /// How many parts of θ take the Gram side, and how many there are. (A part is a weight, or several that are read as one.)
    pub fn parts<T: Scalar>(self, graph: &Graph<'_, T>) -> (usize, usize) {
        (graph.parts().filter(|part| self.gram(part)).count(), graph.parts().count())
    }

    /// Flops of the Kronecker core, a trajectory and vector, where there are `total` trajectories.
    pub fn flops<T: Scalar>(self, graph: &Graph<'_, T>, total: usize) -> f64 {
        graph.parts().map(|part| flops_of(&part, self.gram(&part), total)).sum()
    }

    /// What a product with `vectors` vectors of the operator that couples all trajectories sends.
    pub fn exchange<T: Scalar>(self, graph: &Graph<'_, T>, vectors: usize) -> Exchange {
        let gathers = || graph.coupled().filter(|c| self.gram(c));
        Exchange {
            summed: self.weights(graph, vectors),
            pieces: shares(vectors),
            gathered: gathers().map(|c| gram_row(&c, vectors).saturating_mul(c.positions)).sum(),
            gathers: gathers().count(),
        }
    }

    /// Numbers of δW of m vectors, of the parts on the weight side.
    pub(super) fn weights<T: Scalar>(self, graph: &Graph<'_, T>, m: usize) -> usize {
        let len: usize = graph.parts().filter(|part| !self.gram(part)).map(|part| part.len()).sum();
        m.saturating_mul(len)
    }

    /// Every site on the weight side, and where its part of δW begins among the numbers of one vector.
    pub(super) fn placed<'g, T: Scalar>(self, graph: &'g Graph<'_, T>) -> impl Iterator<Item = (Coupled, usize)> + 'g {
        // Parts stand in the order of their first uses: the numbers of all before, and those of them that are on the Gram side.
        let (mut before, mut grams) = (0, 0);
        graph.coupled().filter_map(move |c| {
            let (first, gram) = (c.place == before && c.part.uses > 0, self.gram(&c));
            if first {
                before += c.len();
                grams += if gram { c.len() } else { 0 };
            }
            if gram {
                return None;
            }
            Some((c, if first { c.place - grams } else { self.place(graph, &c) }))
        })
    }

    /// Where δW of a part on the weight side begins.
    fn place<T: Scalar>(self, graph: &Graph<'_, T>, part: &Coupled) -> usize {
        let before = graph.parts().take_while(|p| p.place < part.place);
        part.place - before.filter(|p| self.gram(p)).map(|p| p.len()).sum::<usize>()
    }
}

/// What processes tell each other in one product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// Numbers that are summed over all of them.
    pub summed: usize,
    /// In so many pieces, one after the other ([`Reduce::sum_pieces`](crate::machine::Reduce::sum_pieces)).
    pub pieces: usize,
    /// Numbers of each trajectory that are gathered from all of them, if all vectors go at once.
    pub gathered: usize,
    /// Gathers a piece.
    pub gathers: usize,
}

impl Exchange {
    /// The pieces of a product with so many vectors, whatever the number that this was told of: none where nothing is summed piece by piece.
    pub fn pieces_of(&self, vectors: usize) -> usize {
        if self.pieces == 0 {
            0
        } else {
            shares(vectors)
        }
    }
}

/// The shares in which several processes take m vectors, so that the sums of one go on beside the sweeps of others: four, of at least so many that
/// products stay large.
pub(super) fn shares(m: usize) -> usize {
    const LEAST: usize = 8;
    (m / LEAST).clamp(1, 4)
}

/// Numbers of a position of a site on the Gram side: u and m rows of s.
pub(super) fn gram_row(c: &Coupled, m: usize) -> usize {
    m.saturating_mul(c.width).saturating_add(c.input.width)
}

/// Which trajectories share their weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coupling {
    /// All: the operator itself.
    All,
    /// Each only with itself: the block diagonal ⊕_b A_bb, of the same trace and diagonal, without any communication.
    PerTrajectory,
}
