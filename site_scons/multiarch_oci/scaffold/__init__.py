"""`multiarch init`: what a repository tells about its programs, and the SConstruct that follows from it."""
