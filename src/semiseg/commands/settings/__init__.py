"""The settings of the commands: each field is a parameter in Python and a flag on the command line.

`train`, `plan` and `dry_run` take a `TrainConfig` instead, and `compare` passes the settings of its
runs on. Nothing here may import torch, since the help texts come from here.
"""
