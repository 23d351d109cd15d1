"""Readers of one RunResult: for people, for machines, for auditors."""
