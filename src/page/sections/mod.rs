//! The parts of an experiment's report, a file each. None of them knows of another.

pub(super) mod calibration;
pub(super) mod confusion;
pub(super) mod curves;
pub(super) mod filters;
pub(super) mod genres;
pub(super) mod headline;
pub(super) mod learning;
pub(super) mod left_out;
pub(super) mod looked_at;
pub(super) mod origin;
pub(super) mod posters;
