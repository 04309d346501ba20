"""What a Go program is made of, and the command that builds it.

    toolchain   which `go` is called
    recipe      what is declared about a program: its environment and its command line (flags: those of several places)
    lister      the inputs of all programs of a run; below it, in the order in which they build on each other:
                modules (where sources lie, go.mod)  tree (the walk, and what `go list` reads of a file)
                inputs (packages, and the record of it all)  golist (`go list`)  answers (kept between runs)
                contents (of files, headers elsewhere)  compose
    compiler    `go build`, what it sees in place of files lest its caches be stale, what its failures mean

Two `go build` at once, for two platforms, are the faster ones on two cores already, also with empty caches (23 s, where
one after the other takes 25).
"""
