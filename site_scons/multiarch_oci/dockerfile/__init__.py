"""Dockerfiles, read exactly as BuildKit reads them.

`parse` gives the instructions as written, `stages` the typed ones stage by stage, `expand` and its sisters the words.
"""
