"""What an engine made, as our tarball: read, checked, normalised, its base left out.

Room by room: `made` (an engine's output, read), `normalising` (our tarball of it), `repacking` (layers), `programs`
(the machine check, which the embedded engine shares: so nothing else is loaded with this package).
"""
