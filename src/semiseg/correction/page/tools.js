// What the tools do to the mask.

import * as api from "./api.js";
import { IGNORED } from "./labels.js";
import { changed } from "./saving.js";
import { element, say, session, view } from "./session.js";

export const TOOLS = [
  ["brush", "Brush", "b"], ["erase", "Ignore", "e"], ["fill", "Fill a patch", "f"],
  ["polygon", "Polygon", "g"], ["alike", "Alike", "a"],
];

let alikeRequest = 0;

const value = () => (session.tool === "erase" ? IGNORED : session.chosen);
export const brushSize = () => Number(element("size").value);
export const isBrush = () => session.tool === "brush" || session.tool === "erase";

export function setSize(pixels) {
  element("size").value = Math.min(200, Math.max(1, pixels));
  element("size-value").textContent = `${brushSize()} pixels`;
  view.radius = brushSize() / 2;
  view.draw();
}

// --- strokes

export function startStroke(id, point) {
  session.stroke = { id, at: point, box: null };
  moveStroke(point);
}

export function moveStroke(point) {
  const { stroke, labels } = session;
  const box = labels.stroke(...middle(stroke.at), ...middle(point), brushSize() / 2, value());
  stroke.at = point;
  stroke.box = stroke.box ? {
    left: Math.min(stroke.box.left, box.left), top: Math.min(stroke.box.top, box.top),
    right: Math.max(stroke.box.right, box.right), bottom: Math.max(stroke.box.bottom, box.bottom),
  } : box;
  view.draw();
}

// Returns whether the stroke has changed a pixel.
export function endStroke() {
  const { box } = session.stroke;
  session.stroke = null;
  return changed(box);
}

// Circles have their center in the middle of a pixel, so that a brush of one pixel paints one.
const middle = ([x, y]) => [Math.floor(x) + 0.5, Math.floor(y) + 0.5];

// --- tools of one click

export async function useTool(point) {
  const [x, y] = point.map(Math.floor), { labels } = session;
  if (x < 0 || y < 0 || x >= labels.width || y >= labels.height) return;
  if (session.tool === "fill") changed(labels.fill(x, y, session.chosen));
  else if (session.tool === "polygon") {
    view.polygon.push(point);
    view.draw();
  } else if (session.tool === "alike") await findAlike(x, y);
}

export function useAtCursor() {
  if (!isBrush()) return useTool(view.cursor);
  startStroke("key", view.cursor);
  endStroke();
}

export function closePolygon() {
  if (view.polygon.length > 2) changed(session.labels.polygon(view.polygon, session.chosen));
  view.polygon = [];
  view.draw();
}

async function findAlike(x, y) {
  const { current, labels } = session, request = ++alikeRequest;
  say("Looking for what is alike");
  try {
    const map = await api.readAlike(current, (x + 0.5) / labels.width, (y + 0.5) / labels.height);
    if (request !== alikeRequest) return; // another image, tool or pixel was chosen meanwhile
    view.alike = map;
    view.alikeLimit = Number(element("alike").value);
    view.draw();
    say("Move the slider Alike; enter paints, escape gives up");
  } catch (error) {
    say(error.message);
  }
}

export function paintAlike() {
  const box = session.labels.select(view.alike, view.alikeLimit, session.chosen);
  view.alike = null;
  changed(box);
}

// Forgets what was begun: the corners of a polygon, and what is alike.
export function giveUp() {
  alikeRequest++;
  view.polygon = [];
  view.alike = null;
  view.draw();
}
