"""Several trainings side by side."""
