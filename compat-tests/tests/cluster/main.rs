//! Three nodes as three processes: how they form a cluster, that each of them answers everything, and that killing one
//! loses and doubles nothing.
//! Invariants: C1, D5, L1, L4, L5, L6, L7, L9, P1, P3, P7, S3, S4.

mod admin;
mod caching;
mod dev;
mod failover;
mod followers;
mod formation;
mod growth;
mod kafka;
mod leadership;
mod moves;
mod operators;
mod racks;
mod services;
mod spread;
mod tables;
mod tls;
