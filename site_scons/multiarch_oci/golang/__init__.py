"""What a Go program is made of, and the command that builds it.

    toolchain   which `go` is called
    recipe      what is declared about a program: its environment and its command line (flags: those of several places)
    lister      the inputs of all programs of a run; below it, in the order in which they build on each other:
                modfile (go.mod's lines)  project (where sources lie)  tree (the walk)  listing (packages)
                heads (what `go list` reads of a file)  golist (`go list`)  answers (kept between runs)
                includes (headers elsewhere)  contents  compose  inputs (the record)
    overlay     what Go sees in place of files, lest its caches be stale
    compiler    `go build`, and what its failures mean

Two `go build` at once, for two platforms, are the faster ones on two cores already, also with empty caches (23 s, where
one after the other takes 25).
"""
