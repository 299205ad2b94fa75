//! The broker: its edges, and what stands behind them.

pub mod broker;
pub mod kafka;
pub mod meta;
