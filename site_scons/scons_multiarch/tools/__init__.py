"""The Tools: each translates between SCons and the library, and adds one builder or one set of names."""
