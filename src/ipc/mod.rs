//! The ipc room.
