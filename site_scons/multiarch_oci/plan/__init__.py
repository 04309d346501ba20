"""What a build will do: `policy` decides what becomes of one tag, `forecast` foretells it for a whole build."""
