//! End to end: the whole of dockstream, through its public faces.

mod chaos;
mod pipeline;
mod streams;
