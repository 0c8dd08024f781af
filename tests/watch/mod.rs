//! Watching on real repositories and a real kernel: the view is the tree, whatever happens, and each told change is true.

mod cases;
mod driver;
mod limits;
mod model;
mod random;
mod switch;
