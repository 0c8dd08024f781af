//! The git room.
