//! weir-schema
