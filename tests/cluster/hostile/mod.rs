//! What tenants and broken objects cannot do.

mod words;
