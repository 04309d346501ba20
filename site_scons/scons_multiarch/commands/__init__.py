"""The commands: the first word of the command line may ask about the targets after it.

Each is a function `(env, targets)` of a module here, which is loaded when it is asked for. It returns the exit status,
or None when the build goes on with the targets that it left in BUILD_TARGETS. `targets` are nodes; of the commands that
take references (`cli.OF_REFERENCES`) those words that are no targets are texts.
"""

COMMANDS = {
    "why": "scons_multiarch.commands.why:run",
    "plan": "scons_multiarch.commands.plan:run",
    "dockerfile": "scons_multiarch.commands.dockerfile:run",
    "graph": "scons_multiarch.commands.graph:run",
    "tree": "scons_multiarch.commands.contents:tree",
    "diff": "scons_multiarch.commands.contents:diff",
    "cache": "scons_multiarch.commands.cache:run",
    "shards": "scons_multiarch.commands.shards:run",
    "verify": "scons_multiarch.commands.verify:run",
    "reproduce": "scons_multiarch.commands.reproduce:run",
    "update-bases": "scons_multiarch.commands.bases:update",
    "check-bases": "scons_multiarch.commands.bases:check",
    "watch": "scons_multiarch.commands.watch:run",
}
"""The word of each command, its module and its function."""
