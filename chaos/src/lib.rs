//! Several `weir` processes under faults, and a judge of what their clients saw.
//!
//! A [`run`] starts the nodes in network namespaces that [`net`] joins, puts each on a [`disk`] of its own, has [`load`]
//! ask and note everything in a [`history`], and plays a schedule of [`faults`] that comes from a seed. In the end
//! everything heals, [`finale`] reads what there is on every node, and [`check`] looks for what must not be.
//! Invariants: C1, L1, L2, L3, L4, L5, L6, L7, L9, L12, N1, N3, P1, P3.
//!
//! As in `compat-tests`, none of the product's crates is linked.

pub mod check;
pub mod disk;
pub mod faults;
pub mod finale;
pub mod history;
pub mod inside;
pub mod load;
pub mod net;
pub mod node;
pub mod report;
pub mod run;
pub mod time;
