"""The settings of a training, its recipes, and the rules of its plan."""
