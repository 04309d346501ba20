"""The real programs that tests talk to: registries, engines, tools, and the build itself.

Nothing here imitates anything. A component that the machine lacks is a skip on a laptop and a failure in CI.
"""
