"""A container engine on this machine or another, over Docker's API (moby, api/swagger.yaml): images get in by `load`.

Podman's Docker-compatible socket works as well. Room by room: `daemon` (what is asked of it), `endpoint` (where it is),
`client` (the connection), `ssh` (a connection by ssh, as `ssh://winbox` wants it).
"""
