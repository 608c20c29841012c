"""Sample files in the style of public data sets, with their mappings; `python -m samples` writes them anew."""
