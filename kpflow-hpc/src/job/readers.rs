//! Which analyses of a job read the same exact matrix.

use super::{Analysis, Job};
use crate::analysis::{keys, offers, Asked, Method, Readers, Reads, DENSE};
use kpflow_estimate::Wanted;

impl Analysis {
    /// What it reads of an exact matrix of its operator, if it may.
    fn reads(&self) -> Option<Reads> {
        let open = self.method == Method::AUTO || self.method.name == DENSE;
        let offered = || offers(self.quantity).into_iter().find(|o| o.name == DENSE && (o.fits)(self.operator));
        let reads = offered().filter(|_| open)?.reads?;
        let vectors = self.vectors && !reads.entries && self.quantity.has(&keys::VECTORS);
        Some(if vectors { Reads { wanted: Wanted::Vectors, ..reads } } else { reads })
    }

    /// Whether both are of one operator on one part of the state.
    pub fn same_operator(&self, other: &Self) -> bool {
        self.operator == other.operator && self.part == other.part
    }

    /// What its operator is known by: a part of it is another one.
    pub fn known_as(&self) -> String {
        match self.part.is_all() {
            true => self.operator.name().into(),
            false => format!("{} in {:?}", self.operator.name(), self.part),
        }
    }

    /// Whether it may read an exact matrix that `other` leaves.
    pub fn may_read_after(&self, other: &Self) -> bool {
        self.same_operator(other) && self.reads().is_some()
    }
}

impl Job {
    /// What is asked of an analysis, and by the others of the job that read the same matrices.
    pub fn asked(&self, analysis: &Analysis) -> Asked {
        let all = self.analyses.iter().filter(|other| other.same_operator(analysis)).filter_map(Analysis::reads);
        let mut readers = Readers::default();
        all.for_each(|reads| readers.add(reads));
        if !self.analyses.iter().any(|other| other.name == analysis.name) {
            analysis.reads().into_iter().for_each(|reads| readers.add(reads));
        }
        Asked { readers, ..analysis.asked() }
    }
}
