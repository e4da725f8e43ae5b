"""Read update files from S3 through an IAM role, as AWS IoT Wireless does."""
