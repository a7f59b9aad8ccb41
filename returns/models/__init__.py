"""Return classifiers behind one interface."""
