//! Faults, one kind at a time, between a simulated engine and real servers. A scenario is a file.
//!
//! After each the books balance, every journaled record is in each store, and none is there twice.
//!
//! A short run is a part of `make test`. `make chaos` is the long one: it prints its seed, takes `SEED=`, and writes the
//! table of docs/reliability.md. `cargo test --test e2e faults::broker` plays one. The soak has a length of its own: `make soak`.

mod audit;
mod books;
mod chance;
mod life;
mod report;
mod servers;
mod setting;
mod stir;
mod tables;
mod world;

mod broker;
mod clickhouse;
mod clock;
mod disk;
mod kill9;
mod network;
mod panics;
mod soak;
