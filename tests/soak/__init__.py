"""Long random runs: whatever people, networks and power cuts do, the end is that of an undisturbed build from clean."""
