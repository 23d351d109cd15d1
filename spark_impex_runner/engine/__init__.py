"""From a plan to finished targets."""
