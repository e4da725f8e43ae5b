"""The update file: how it is built, signed, and read out of S3."""
