//! "Is this copy fresh?": positions, tags, variants, lifetimes, and who watches.
