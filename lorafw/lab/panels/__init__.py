"""The interactive panels of the lessons, one module a panel."""
