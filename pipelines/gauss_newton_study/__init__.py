"""The parts of `gauss_newton`: data, suites of experiments, the sweep, claims, figures, report."""
