"""Estimates, intervals, comparisons and sample sizes of simulated rollouts."""
