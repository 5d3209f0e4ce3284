"""The kinds of fixes, one or a few related ones in each file.

A kind is a frozen dataclass that inherits from Fix of core/fixes/base.py. It has its fields, its
name in JSON, its form, its words, its effect on a state_dict, and its PyTorch code with the
functions that a script contains for it. To add a kind, write it here and add a line to
core/fixes/table.py; recipes, scripts, the command line and the pages use that table.

A function that a script contains repeats short lists and helpers of Loupe, such as the names of
BatchNorm's buffers: its source must need nothing but torch and the standard library (Function in
core/fixes/script_part.py).
"""
