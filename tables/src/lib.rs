//! weir-tables
