"""Read a formula and draw its computation graph."""
