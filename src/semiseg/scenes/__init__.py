"""The demo's scenes, drawn from a seed."""
