"""The CUPS server: connections, TLS, authorization and limits around the update service."""
