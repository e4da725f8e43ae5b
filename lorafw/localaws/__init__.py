"""AWS on this machine: the API server, its environment, and the documented example."""
