"""The network with its two heads, its encoder weights, the teacher and the prototypes."""
