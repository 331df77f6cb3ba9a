//! The trace of A = F Fᵀ by one sweep a sample.

use crate::sampling::{sample, Forms};
use crate::space::{Budget, Space, TESTS};
use crate::{Estimate, Result};

/// Estimates tr F Fᵀ = E‖Fᵀx‖² from products with Fᵀ alone: back-propagation of random error signals. Collective.
///
/// `sweep` is the space of Fᵀ. Of F it is E‖Fw‖² instead: what random changes of the weights do to the state.
/// **Cost**: half a product of A a sample, and so it is counted. **Accuracy**: as Hutchinson's, sample for sample; with F variance 2 Σ_{i≠j} (FᵀF)_ij² a sample.
pub fn one_sided<S: Space>(sweep: &S, budget: &Budget) -> Result<Estimate> {
    let mut forms = Forms::default();
    let sweeps = Budget { max_matvecs: budget.max_matvecs.saturating_mul(2), ..*budget };
    let estimate = sample(sweep, &sweeps, 1, |first, m| {
        let y = sweep.apply(&sweep.draw(TESTS, first, m))?;
        sweep.image_dots(&y, &y)?.into_iter().for_each(|s| forms.push(s));
        Ok(forms.bar())
    })?;
    Ok(in_products(estimate))
}

/// Counts two sweeps as the product that they would make.
pub(crate) fn in_products(estimate: Estimate) -> Estimate {
    let history = estimate.history.iter().map(|h| [(h[0] / 2.0).ceil(), h[1], h[2]]).collect();
    Estimate { matvecs: estimate.matvecs.div_ceil(2), history, ..estimate }
}
