//! shim
pub(crate) use crate::data::films::list;
pub use crate::data::films::{poster_id, poster_name};
