"""Run plans: schedule targets, write reports, send notifications."""
