"""Scenes drawn from a seed, as data to try semiseg with: crops, streets and steel plates."""

from semiseg.scenes.draw import DRAWINGS, Drawing, SceneKind, draw_scene, write_scenes

__all__ = ["DRAWINGS", "Drawing", "SceneKind", "draw_scene", "write_scenes"]
