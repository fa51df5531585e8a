"""Files: those of the user, read if they are files; those of a run, written whole."""
