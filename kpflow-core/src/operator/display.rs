//! How expressions print themselves.
//!
//! `{}` prints an operator, `{:#}` puts parentheses around a sum (as a factor of a product stands), `{:+}` around anything that is not one
//! symbol (as what is transposed stands). A symbol of one's own prints itself whatever the flags are, so that `Display` is all it needs.

use core::fmt::{Display, Formatter, Result};

/// What an expression is made of, from the loosest to the tightest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Binds {
    /// `A + B`.
    Sum,
    /// `A ∘ B`.
    Product,
}

/// Prints an expression that binds so, in parentheses where they are asked for.
pub(crate) fn expression(
    f: &mut Formatter<'_>,
    binds: Binds,
    write: impl FnOnce(&mut Formatter<'_>) -> Result,
) -> Result {
    if f.sign_plus() || f.alternate() && binds == Binds::Sum {
        f.write_str("(")?;
        write(f)?;
        return f.write_str(")");
    }
    write(f)
}

/// Prints `a ∘ b`.
pub(super) fn product(f: &mut Formatter<'_>, a: &impl Display, b: &impl Display) -> Result {
    expression(f, Binds::Product, |f| write!(f, "{a:#} ∘ {b:#}"))
}
