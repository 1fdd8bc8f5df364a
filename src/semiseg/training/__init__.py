"""The training itself: steps, optimiser, schedule, validation, checkpoints, by Lightning."""
