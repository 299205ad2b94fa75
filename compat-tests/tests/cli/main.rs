//! The command line as people and scripts use it: what it prints, how it ends, what its errors say to do.

mod errors;
mod groups;
mod records;
mod rig;
mod rows;
mod schemas;
mod start;
mod topics;
