//! A fake Docker engine: it speaks the Engine API on a unix socket, for load, for faults, and for a demo without Docker.
//!
//! ```
//! use std::time::Duration;
//! use simulator::{FrameFault, Profile, Simulator};
//!
//! let host = Simulator::host("sim-1").containers(10).engine(Profile::Docker20).start()?;
//! println!("point a client at {}", host.url());
//! host.control().stop("web-1")?;
//! host.control().spoil_next(1, "db-1", FrameFault::Truncated)?;
//! host.control().restart_daemon(Duration::from_millis(50));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! One host is one thread and one socket. Frames, events and documents have the shapes that were recorded on the real
//! engine (`profiles/`). What was sent is known: [`Control::truth`] gives the counters of the last frame.

mod churn;
mod clock;
mod connection;
mod control;
mod counters;
mod demo;
mod documents;
mod engine;
mod events;
mod faults;
mod frame;
mod host;
mod http;
mod profile;
mod routes;
mod spec;
mod template;
mod world;

pub use control::Control;
pub use counters::{Counters, CpuCounters, InterfaceCounters, MemoryCounters, Truth};
pub use demo::DemoSpec;
pub use engine::Order;
pub use events::{Event, RING};
pub use faults::FrameFault;
pub use host::{SimulatedHost, Simulator, StartError};
pub use profile::Profile;
pub use spec::{ContainerSpec, Load, Network, OnSigterm, RestartPolicy};
pub use world::{Call, FrameCounts, Health, Refused, Served, State};
