//! What operators rely on: a full disk, too many clients, a quick stop, metrics.

mod client;
mod connections;
mod metrics;
mod space;
mod stop;
