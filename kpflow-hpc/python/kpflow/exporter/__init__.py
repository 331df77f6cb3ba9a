"""Any torch module as a graph that kpflow reads: `exporter.graph`. It needs nothing of kpflow: the scripts use it without."""
