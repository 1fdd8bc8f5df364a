"""The training itself: steps, optimizer, schedule, validation, checkpoints, by Lightning."""
