"""The embedded engine: Dockerfiles without RUN, executed in this process, with no daemon and no root.

Room by room: `building` (instructions in order, over `configuring` and `copying`), `layertree` (the files of a base),
`assembling` (the tarball).
"""
