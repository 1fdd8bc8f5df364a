"""The classes of a data set: named by files, or inferred from the masks."""
