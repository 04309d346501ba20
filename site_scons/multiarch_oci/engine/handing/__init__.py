"""What other engines than the embedded one are handed: a pinned Dockerfile, the context it needs, a command line."""
