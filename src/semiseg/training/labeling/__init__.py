"""The labels that unlabeled images get before a training: by a model, or from masks of others."""
