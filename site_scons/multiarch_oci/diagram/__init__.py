"""A graph of targets as text that other tools draw, and drawn: mermaid, DOT, SVG."""
