//! weir broker
