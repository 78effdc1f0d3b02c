//! Which build of onesheet this is. Nothing of it gets into a file that must have the same bytes
//! each time: model files and metrics.

/// The version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The first digits of the commit that the crate was built from, with `-dirty` behind them where its
/// sources had been changed since; `None` where that is not known, as in a copy without a repository.
pub const COMMIT: Option<&str> = option_env!("ONESHEET_COMMIT");

/// The target that the crate was built for, such as `x86_64-unknown-linux-gnu`.
pub const TARGET: &str = env!("ONESHEET_TARGET");
