"""The front end: what a Dockerfile asks of its context and of its bases, read the same way for every engine.

Room by room: `recipe` (stages, what the target needs, variables; over `origins`), `context` (the folder as the
Dockerfile sees it, over `tree`, `sources`, `gitindex`), `named` (other folders and images, by name), `inputs` (what a
build system asks before; `cached_inputs`: the answers of earlier runs), `fingerprint` (what an image is made from, by
name), `bases` (what a FROM takes over), `reader` (all of it for one plan).
"""
