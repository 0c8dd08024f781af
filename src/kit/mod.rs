//! What any daemon needs; nothing in here knows that `ox` exists.
