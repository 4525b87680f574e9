"""The Ray backend: workers on the nodes of a cluster."""
