"""The shared cache of a build (behaviour, section 9): where it is, what is taken from it, what is put into it.

`origins`: what CACHE says, and texts that name a repository or folder. `lookups`: the keys of steps, and entries, each
read once. `listings`: what `go list` said, as such an entry. `taking`: what is done instead of a step. `fetching`:
bytes that something needs that is not ours, or a step. `packages`: compiled packages of Go, for what is compiled
nevertheless. `keeping`: what a step that was performed leaves for others.

Loaded only where CACHE is given, or a record says that a cache holds a file.
"""
