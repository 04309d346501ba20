"""Container images for many platforms: records, layers, stores and engines, in plain Python.

The rooms, from the bottom up; imports go down only (`docs/architecture.md`):

    words    errors  digest  mediatype  platform  reference  version
    records  descriptor  config  manifest  index  receipt
    making   layer  windows  dockerfile  ignorefile  executable  image
    places   store
    engines  engine  bases
    lister   golang
    answers  plan  verify  why

Nothing here imports SCons, prints, reads the environment or keeps state between calls.
"""
