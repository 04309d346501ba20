"""Container images for many platforms: records, layers, stores and engines, in plain Python.

The rooms, from the bottom up; imports go down only (`docs/architecture.md`):

    words    errors  digest  document  mediatype  platform  reference  version  statcache
    records  descriptor  config  manifest  index  receipt
    making   dockerfile  ignorefile  executable  tarreader  layer  windows  image
    stores   store
    engines  engine  bases
    lister   golang  git
    answers  output  plan  verify  why
    verbs    publish

Nothing here imports SCons, prints, reads the environment or keeps state between calls.
"""
