"""The commands: the first word of the command line may ask about the targets after it.

Each is a module here, loaded when it is asked for, with a function `run(env, targets)`. That returns the exit status,
or None when the build goes on with the targets that it left in BUILD_TARGETS. `targets` are nodes; of the commands that
take references (`cli.OF_REFERENCES`) those words that are no targets are texts.
"""

COMMANDS = {
    "why": "scons_multiarch.commands.why",
    "plan": "scons_multiarch.commands.plan",
    "dockerfile": "scons_multiarch.commands.dockerfile",
    "graph": "scons_multiarch.commands.graph",
    "tree": "scons_multiarch.commands.tree",
    "diff": "scons_multiarch.commands.diff",
    "cache": "scons_multiarch.commands.cache",
    "verify": "scons_multiarch.commands.verify",
    "reproduce": "scons_multiarch.commands.reproduce",
    "update-bases": "scons_multiarch.commands.update_bases",
    "check-bases": "scons_multiarch.commands.check_bases",
    "watch": "scons_multiarch.commands.watch",
}
"""The word of each command, and its module."""
