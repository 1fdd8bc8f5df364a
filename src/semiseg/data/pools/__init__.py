"""Pools: unlabeled images in tar files, on a disk or in an object store."""
