"""The solvers of `ipaq_index.levels`, measured: time and error against size, levels and distribution."""
