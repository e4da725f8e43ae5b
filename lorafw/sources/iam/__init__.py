"""IAM policy evaluation: documents, conditions, principals, and the decision."""
