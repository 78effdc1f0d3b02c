//! Sizes that are multiplied with checks.
//!
//! The kernels read and write through pointers, within bounds that are products of sizes. Such a
//! product must not wrap: a wrong number would agree with slices that are much too short. So a
//! shape can only be made by a constructor that has checked every product which its passes form;
//! holding one is the proof.

use std::fmt;

/// The most values of a tensor, and of anything that is worked in.
///
/// A 64th of the address space: small multiples of such a number, and sums of a few, stay below
/// `usize::MAX`, so that what a pass adds to a checked product needs no check of its own.
pub(crate) const MOST_VALUES: usize = isize::MAX as usize / 64;

/// Why a shape is none: a size is 0, a window does not fit, or the sizes multiply to more values
/// than memory can hold. Its text names the sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeError {
    sizes: String,
    why: &'static str,
}

impl ShapeError {
    pub(crate) fn new(sizes: &impl fmt::Debug, why: &'static str) -> Self {
        Self { sizes: format!("{sizes:?}"), why }
    }

    /// The reason alone, without the sizes.
    pub fn why(&self) -> &'static str {
        self.why
    }
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.why, self.sizes)
    }
}

impl std::error::Error for ShapeError {}

/// The product of sizes, where memory could hold as many values.
pub(crate) fn product<const N: usize>(sizes: [usize; N]) -> Result<usize, &'static str> {
    let product = sizes.into_iter().try_fold(1, usize::checked_mul);
    product.filter(|&product| product <= MOST_VALUES).ok_or("there are more values than memory can hold")
}

/// Refuses sizes of 0, and those that are too large to add to another.
pub(crate) fn check_sizes<const N: usize>(sizes: [usize; N]) -> Result<(), &'static str> {
    if sizes.contains(&0) {
        return Err("a size is 0");
    }
    sizes.into_iter().try_for_each(|size| product([size]).map(drop))
}

/// What all shapes have in common: the constructors, which go through `$shape::checked`, and that a
/// shape reads as its sizes.
macro_rules! shape_of_sizes {
    ($shape:ident, $sizes:ident) => {
        impl $shape {
            /// The shape of these sizes.
            ///
            /// # Errors
            /// If a size is 0, if a window does not fit, or if there are more values than memory
            /// can hold: in a tensor, or in what a pass works in.
            pub fn try_new(sizes: $sizes) -> Result<Self, $crate::ShapeError> {
                Self::checked(sizes).map_err(|why| $crate::ShapeError::new(&sizes, why))
            }

            /// [`try_new`](Self::try_new) for sizes that are known to fit.
            ///
            /// # Panics
            /// With the sizes, where that is an error.
            #[track_caller]
            pub fn new(sizes: $sizes) -> Self {
                // No closure: the panic names the caller.
                match Self::try_new(sizes) {
                    Ok(shape) => shape,
                    Err(error) => panic!("{error}"),
                }
            }

            /// The same for a batch of `n` images.
            ///
            /// # Errors
            /// As [`try_new`](Self::try_new).
            pub fn of_batch(&self, n: usize) -> Result<Self, $crate::ShapeError> {
                Self::try_new($sizes { n, ..self.sizes })
            }
        }

        impl std::ops::Deref for $shape {
            type Target = $sizes;

            fn deref(&self) -> &$sizes {
                &self.sizes
            }
        }

        impl std::fmt::Debug for $shape {
            fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                self.sizes.fmt(f)
            }
        }
    };
}

pub(crate) use shape_of_sizes;
