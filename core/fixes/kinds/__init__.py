"""The kinds of fixes, each in one file, or in a file with those that are close to it.

A kind is a frozen dataclass of core/fixes/fix.py's Fix: its fields, its name in JSON, its form, its
words, its effect on a state_dict, and its PyTorch code with the functions that a script carries for
it. To add one, write it here and give it a line in core/fixes/table.py; recipes, scripts, the
command line and the pages go by that.
"""
