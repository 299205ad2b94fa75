//! Bounds on what one schema may cost, so that no request ends the process or holds it up.
//!
//! Past the first the answer is "too large" (42209), past the others "invalid schema" (42201).

/// A schema's text, references, metadata and rules together.
pub const SCHEMA_BYTES_MAX: usize = 1024 * 1024;
/// A schema together with everything that it references, directly or not.
pub const RESOLVED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Schemas that one schema may reference, directly or not.
pub const REFERENCES_MAX: usize = 1_000;
/// How deep types, objects or messages may nest, and how long a chain of references may be.
pub const NESTING_MAX: usize = 100;
/// Pairs of types that one comparison of two schemas may look at.
pub const COMPARISONS_MAX: usize = 200_000;
/// Differences that one comparison reports; what is beyond is not looked for.
pub const DIFFERENCES_MAX: usize = 1_000;
