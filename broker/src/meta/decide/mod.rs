//! What the metadata answers, and which commands that takes. Plain functions that read a state; [`super::Meta::change`]
//! commits what they return.

pub mod cluster;
pub mod configs;
pub mod moves;
pub mod spread;
pub mod tables;
pub mod topics;

pub use tables::TableDraft;

#[cfg(test)]
mod tests;
