//! The Docker client of dockstream.
//!
//! Only this crate knows how an engine is reached and what it answers. Streams (stats, events) are read by our own
//! HTTP/1.1 reader, which holds no more than the rest of a line for each; frames are decoded from borrowed bytes.

pub mod frame;
