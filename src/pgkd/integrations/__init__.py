"""Other tools: scikit-learn, experiment trackers, data sets."""
