"""Moving an image to a new base without its engine, where nothing else changed: what `crane rebase` does, and checks.

`rebasing` (the question, and the new tarball), `independence` (whether the image's own layers could be other bytes over
the new base), `basefiles` (the files of both bases).
"""
