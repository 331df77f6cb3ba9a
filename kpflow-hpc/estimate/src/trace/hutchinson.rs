//! Hutchinson's trace estimator (1990).

use crate::sampling::{sample, Forms};
use crate::space::{Budget, Space, TESTS};
use crate::{Estimate, Result};

/// Estimates tr A as the mean of xᵀAx over Rademacher probes x. Collective.
///
/// **Cost**: one product a sample. **Accuracy**: variance 2 Σ_{i≠j} A_ij² a sample; the standard error is that of the mean. The interval is that of a positive
/// number where no sample is below 0.
pub fn hutchinson<S: Space>(space: &S, budget: &Budget) -> Result<Estimate> {
    let mut forms = Forms::default();
    sample(space, budget, 1, |first, m| {
        let x = space.draw(TESTS, first, m);
        let y = space.apply(&x)?;
        space.dots(&x, &y)?.into_iter().for_each(|q| forms.push(q));
        Ok(forms.bar())
    })
}
