"""Attestations: what is said about an image or index, by whom, and how that is checked."""
