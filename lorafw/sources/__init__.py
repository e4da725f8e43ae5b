"""Where update files are read from: S3, through an IAM role."""
