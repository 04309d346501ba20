"""Run by SCons before the SConstruct, with this folder on the module path: the tree's own copy of the tool is used."""

from pathlib import Path

from scons_multiarch.process import set_up

set_up(Path.cwd())
