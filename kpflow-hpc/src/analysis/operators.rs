//! The operators that an analysis may be of: one table with what each is, its factor, its closed forms, how it is made.

use crate::closed::Closed;
use crate::engine::Real;
use crate::error::{Error, Result};
use kpflow_core::machine::Machine;
use kpflow_core::model::Linearization;
use kpflow_core::ntk::{
    Constraint, Coupling, KroneckerCore, Ntk, ParameterJacobian, ParameterOperator, Propagator, Side,
};
use kpflow_core::operator::{Adjoint, Gram, Normal};
use kpflow_core::LinearOperator;

/// An operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// P K Pᵀ.
    Ntk,
    /// K.
    Parameter,
    /// P.
    Propagator,
    /// P Pᵀ.
    PropagatorGram,
    /// Σ_sites U Uᵀ.
    Core,
    /// P⁻¹.
    Constraint,
}

/// What is known of an operator without a model.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// What the job file calls it.
    pub name: &'static str,
    /// What it is.
    pub formula: &'static str,
    /// What people are shown in the place of its name.
    pub symbol: &'static str,
    /// Whether it is symmetric and positive semidefinite.
    pub symmetric: bool,
    /// Whether it acts on the state; else on its positions.
    pub on_state: bool,
    /// Whether its factor F, A = F Fᵀ, is applied by itself, and whether Fᵀ writes changes of the weights, which all ranks hold.
    pub factor: Option<Factor>,
    /// The closed form of its trace.
    pub closed: Option<Closed>,
    /// Sweeps from state to state of a product, two being all of NTK's.
    pub sweeps: f64,
    /// Whether a product goes through the weights.
    pub through_weights: bool,
}

/// What a factor's adjoint writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// Changes of the weights: the same on all ranks.
    Weights,
    /// The state.
    State,
}

/// An operator, whatever it is made of.
pub type Boxed<'a, T> = Box<dyn LinearOperator<T> + 'a>;

impl Operator {
    /// Every word and its meaning.
    pub const ALL: &'static [(&'static str, Operator)] = &[
        ("ntk", Operator::Ntk),
        ("parameter", Operator::Parameter),
        ("propagator", Operator::Propagator),
        ("propagator_gram", Operator::PropagatorGram),
        ("core", Operator::Core),
        ("constraint", Operator::Constraint),
    ];

    /// What is known of it.
    pub const fn about(self) -> About {
        const PLAIN: About = About {
            name: "",
            formula: "",
            symbol: "",
            symmetric: true,
            on_state: true,
            factor: None,
            closed: None,
            sweeps: 0.0,
            through_weights: false,
        };
        match self {
            Operator::Ntk => About {
                name: "ntk",
                formula: "P K Pᵀ",
                symbol: "NTK",
                factor: Some(Factor::Weights),
                closed: Some(Closed::Ntk),
                sweeps: 2.0,
                through_weights: true,
                ..PLAIN
            },
            Operator::Parameter => About {
                name: "parameter",
                formula: "K",
                symbol: "K",
                factor: Some(Factor::Weights),
                closed: Some(Closed::Parameter),
                through_weights: true,
                ..PLAIN
            },
            Operator::Propagator => {
                About { name: "propagator", formula: "P", symbol: "P", symmetric: false, sweeps: 1.0, ..PLAIN }
            }
            Operator::PropagatorGram => About {
                name: "propagator_gram",
                formula: "P Pᵀ",
                symbol: "P Pᵀ",
                factor: Some(Factor::State),
                closed: Some(Closed::PropagatorGram),
                sweeps: 2.0,
                ..PLAIN
            },
            Operator::Core => {
                About { name: "core", formula: "Σ_sites U Uᵀ", symbol: "Σ U Uᵀ", on_state: false, ..PLAIN }
            }
            Operator::Constraint => {
                About {
                    name: "constraint", formula: "P⁻¹", symbol: "P⁻¹", symmetric: false, sweeps: 1.0, ..PLAIN
                }
            }
        }
    }

    /// What the job file calls it.
    pub fn name(self) -> &'static str {
        self.about().name
    }

    /// Whether it is symmetric and positive semidefinite.
    pub fn symmetric(self) -> bool {
        self.about().symmetric
    }

    /// Whether it is not.
    pub fn skew(self) -> bool {
        !self.symmetric()
    }

    /// Whether its factor is applied by itself.
    pub fn has_factor(self) -> bool {
        self.about().factor.is_some()
    }

    /// Whether it acts on the state.
    pub fn acts_on_state(self) -> bool {
        self.about().on_state
    }

    /// Any.
    pub fn any(self) -> bool {
        true
    }

    /// Makes it: whole, or its block diagonal over trajectories. Collective.
    ///
    /// **Errors**: this model does not have it.
    pub fn make<'a, T: Real, M: Machine<T>>(
        self,
        lin: &'a Linearization<'a, T>,
        machine: &'a M,
        coupling: Coupling,
    ) -> Result<Boxed<'a, T>> {
        let side = || Side::cheaper(machine.sum_count(lin.shape().trajectories), machine.sum_count(1));
        Ok(match self {
            Operator::Ntk => Box::new(Ntk::with(lin, machine, coupling, side())),
            Operator::Parameter => Box::new(ParameterOperator::with(lin, machine, coupling, side())),
            // P is block diagonal over trajectories already.
            Operator::PropagatorGram => Box::new(Gram(Propagator::new(lin, machine))),
            Operator::Propagator => Box::new(Propagator::new(lin, machine)),
            Operator::Constraint => Box::new(Constraint::new(lin, machine)),
            Operator::Core => Box::new(KroneckerCore::new(lin, machine).ok_or_else(no_core)?),
        })
    }

    /// A Aᵀ and Aᵀ, of one that is not symmetric.
    pub fn gram_and_adjoint<'a, T: Real, M: Machine<T>>(
        self,
        lin: &'a Linearization<'a, T>,
        machine: &'a M,
    ) -> Option<[Boxed<'a, T>; 2]> {
        match self {
            Operator::Propagator => {
                let p = || Propagator::new(lin, machine);
                Some([Box::new(Gram(p())), Box::new(Adjoint(p()))])
            }
            Operator::Constraint => {
                let c = || Constraint::new(lin, machine);
                Some([Box::new(Gram(c())), Box::new(Adjoint(c()))])
            }
            Operator::Ntk | Operator::Parameter | Operator::PropagatorGram | Operator::Core => None,
        }
    }

    /// F with A = F Fᵀ.
    pub fn factor<'a, T: Real, M: Machine<T>>(
        self,
        lin: &'a Linearization<'a, T>,
        machine: &'a M,
    ) -> Option<Boxed<'a, T>> {
        match self {
            Operator::Ntk => Some(Box::new(ParameterJacobian::total(lin, machine))),
            Operator::Parameter => Some(Box::new(ParameterJacobian::immediate(lin, machine))),
            Operator::PropagatorGram => Some(Box::new(Propagator::new(lin, machine))),
            Operator::Propagator | Operator::Core | Operator::Constraint => None,
        }
    }

    /// Whether A = F Fᵀ of an F that reads changes of the weights.
    pub fn from_weights(self) -> bool {
        self.about().factor == Some(Factor::Weights)
    }

    /// FᵀF, where F reads changes of the weights.
    pub fn normal<'a, T: Real, M: Machine<T>>(
        self,
        lin: &'a Linearization<'a, T>,
        machine: &'a M,
    ) -> Option<Boxed<'a, T>> {
        match self {
            Operator::Ntk => Some(Box::new(Normal(ParameterJacobian::total(lin, machine)))),
            Operator::Parameter => Some(Box::new(Normal(ParameterJacobian::immediate(lin, machine)))),
            Operator::PropagatorGram | Operator::Propagator | Operator::Core | Operator::Constraint => None,
        }
    }

    /// Fᵀ.
    pub fn factor_adjoint<'a, T: Real, M: Machine<T>>(
        self,
        lin: &'a Linearization<'a, T>,
        machine: &'a M,
    ) -> Option<Boxed<'a, T>> {
        match self {
            Operator::Ntk => Some(Box::new(Adjoint(ParameterJacobian::total(lin, machine)))),
            Operator::Parameter => Some(Box::new(Adjoint(ParameterJacobian::immediate(lin, machine)))),
            Operator::PropagatorGram => Some(Box::new(Adjoint(Propagator::new(lin, machine)))),
            Operator::Propagator | Operator::Core | Operator::Constraint => None,
        }
    }
}

/// Fails where a model has no Kronecker core.
pub(super) fn require_core<T: Real>(lin: &Linearization<'_, T>) -> Result<()> {
    let made = KroneckerCore::new(lin, &kpflow_core::machine::Portable);
    made.map(drop).ok_or_else(no_core)
}

fn no_core() -> Error {
    Error::usage("operator = \"core\" is for models whose weights all act once a step, as matrices; take parameter")
}
