//! The dead letter: records that a server will never take, kept until a person has seen to them.
//!
//! They lie in files of JSON lines, a letter a line: `<sink>.<stream>.<number>.jsonl`. Letters are appended to the
//! last file of their sink and stream; the others never change, which is what a replay rests on. Files are
//! numbered across all sinks, so the lowest number is the oldest and goes first when room is needed.

mod file;
mod folder;
mod line;
mod replay;
#[cfg(test)]
mod tests;

pub use file::FileDeadLetter;
pub use folder::{Content, Folder, Of};
pub use line::{Entry, NotALetter, SCHEMA, encode};
pub use replay::{Alone, Replay, Replayed, Stopped};
