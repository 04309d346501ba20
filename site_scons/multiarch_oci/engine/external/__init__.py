"""Calling an engine of others, by its command line or API: buildx, Podman, Docker.

`calling` (programs: whether they are there, and running them), `surroundings` (what every engine is given), `staging`
(the context it needs, on disk, and a Dockerfile by `pinning`), `secrets`, `marks` (what its cache must see).
"""
