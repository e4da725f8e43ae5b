"""A model of Basics Station 2.0.6: what the real client does, without sockets or files."""
