//! The compute kernels of onesheet.
