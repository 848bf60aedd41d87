"""Studies: results of mfgen, each written by one command from runs that are kept."""
