//! Right workflows, and the model that comes of them.
