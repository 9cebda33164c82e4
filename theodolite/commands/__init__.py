"""The verbs of the command line, one file each; each is a few lines around what Python can do as well."""
