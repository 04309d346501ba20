"""The SCons half: what makes SCons targets of programs, images, tags and indexes. The only code that imports SCons."""
