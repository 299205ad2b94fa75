//! weir broker

pub mod meta;
