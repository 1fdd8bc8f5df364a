"""The network with its two heads, encoder weights, the EMA teacher, prototypes, and releases."""
