"""What an engine made, as our tarball: read, checked, normalised, its base left out."""
