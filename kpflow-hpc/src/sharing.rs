//! Whether the ranks of a node hold a model's weights once between them.

use crate::comm::{shared_memory_left, Comm};
use crate::engine::{Engine, Real};
use crate::job::{Job, Kind};
use crate::network::FromFiles;

/// Files of weights from this size on are held once a node.
const WORTH_SHARING: u64 = 16 << 20;

/// How the ranks of this node hold the weights of a job.
#[derive(Clone, Copy)]
pub struct Sharing {
    node: Comm,
    shared: bool,
}

impl Sharing {
    /// Large weights once, where there is room. Collective.
    pub fn of(job: &Job, engine: &Engine) -> Self {
        let node = if engine.grid().world().size() > 1 { Comm::node() } else { Comm::alone() };
        // Of these kinds, what is not a weight is made of the checkpoint too.
        if node.size() == 1 || matches!(job.model.kind, Kind::Conv | Kind::Onnx) {
            return Self { node, shared: false };
        }
        // In double precision numbers may be four times as long as in the file; memory that is not there cannot be had later.
        let fits = |len: u64| len >= WORTH_SHARING && shared_memory_left() / 8 >= len;
        let root = node.is_root() && std::fs::metadata(&job.model.weights).is_ok_and(|m| fits(m.len()));
        let mut answer = vec![u8::from(root)];
        node.broadcast(&mut answer, 0);
        Self { node, shared: answer == [1] }
    }

    /// Whether this rank needs the sizes of the weights alone.
    pub fn outline(&self) -> bool {
        self.shared && !self.node.is_root()
    }

    /// Moves the weights to where all can read them, if they are shared. Collective.
    pub fn share<T: Real>(&self, mut network: FromFiles<T>) -> FromFiles<T> {
        if self.shared {
            network.share(self.node);
        }
        network
    }

    /// The ranks that hold the weights once between them.
    pub fn ranks(&self) -> usize {
        if self.shared {
            self.node.size()
        } else {
            1
        }
    }
}
