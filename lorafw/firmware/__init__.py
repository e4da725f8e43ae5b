"""Build, unpack, install, sign and verify update files."""
