//! Connections that more than one crate makes: those to PostgreSQL, and whose certificates are trusted.

pub mod postgres;
pub mod trust;
