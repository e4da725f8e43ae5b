"""What the API has for monitoring gateways: log levels, event configurations, and lines in CloudWatch Logs."""
