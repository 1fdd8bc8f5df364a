// What the tools do to the mask.

import * as api from "./api.js";
import { IGNORED } from "./labels.js";
import { changed } from "./saving.js";
import { element, say, session, view } from "./session.js";

export const TOOLS = [
  ["brush", "Brush", "b"], ["erase", "Ignore", "e"], ["fill", "Fill a patch", "f"],
  ["polygon", "Polygon", "g"], ["alike", "Alike", "a"],
];

let alikeRequest = 0, isSizeChosen = false;

const value = () => (session.tool === "erase" ? IGNORED : session.chosen);
export const brushSize = () => Number(element("size").value);
export const isBrush = () => session.tool === "brush" || session.tool === "erase";

export function setSize(pixels) {
  element("size").value = pixels; // the slider keeps it in its range
  element("size-value").textContent = `${brushSize()} pixels`;
  view.radius = isBrush() ? brushSize() / 2 : 0;
  view.draw();
}

// A person chooses a size, which the next images keep.
export function chooseSize(pixels) {
  isSizeChosen = true;
  setSize(pixels);
}

// One step of the keys, down (-1) or up (1).
export const stepSize = (direction) => chooseSize(brushSize() + direction * Math.max(2, Math.round(brushSize() / 5)));

// The sizes that suit an image.
export function fitSizes({ width, height }) {
  const side = Math.min(width, height);
  element("size").max = Math.max(21, Math.round(side / 4));
  setSize(isSizeChosen ? brushSize() : Math.max(5, Math.round(side / 60)));
}

// --- strokes

export function startStroke(id, point) {
  session.stroke = { id, at: point, boxes: [] };
  moveStroke(point);
}

export function moveStroke(point) {
  const { stroke, labels } = session;
  const box = labels.stroke(...middle(stroke.at), ...middle(point), brushSize() / 2, value());
  stroke.at = point;
  stroke.boxes.push(box);
  view.drawLayer([box]);
}

// Returns whether the stroke has changed a pixel.
export function endStroke() {
  const { boxes } = session.stroke;
  session.stroke = null;
  return changed(...boxes);
}

// Circles have their center in the middle of a pixel, so that a brush of one pixel paints one.
const middle = ([x, y]) => [Math.floor(x) + 0.5, Math.floor(y) + 0.5];

// --- tools of one click

const pixelAt = (point) => {
  const [x, y] = point.map(Math.floor), { labels } = session;
  return x < 0 || y < 0 || x >= labels.width || y >= labels.height ? null : [x, y];
};

// Uses the tool at a point. `isWanted` is false for what a selection must not hold.
export async function useTool(point, isWanted = true) {
  const pixel = pixelAt(point);
  if (!pixel) return;
  if (session.tool === "fill") changed(session.labels.fill(...pixel, session.chosen));
  else if (session.tool === "polygon") {
    view.polygon.push(point);
    view.draw();
  } else if (session.tool === "alike") {
    if (!session.queue.has_assistant) view.points = [];
    view.points.push([pixel[0] + 0.5, pixel[1] + 0.5, isWanted || !session.queue.has_assistant]);
    await select();
  }
}

export function useAtCursor(isWanted = true) {
  if (!isBrush()) return useTool(view.cursor, isWanted);
  startStroke("key", view.cursor);
  endStroke();
}

export function sayNoClass(number) {
  const { length } = session.classes;
  say(`No class has the key ${number + 1}: there ${length === 1 ? "is 1 class" : `are ${length} classes`}`);
}

// Gives the connected patch under the cursor a class.
export function nameThisPatch(number) {
  const pixel = pixelAt(view.cursor);
  if (number >= session.classes.length) return sayNoClass(number);
  if (pixel) changed(session.labels.fill(...pixel, number));
}

export function closePolygon() {
  if (view.polygon.length < 3) return say("A polygon needs at least 3 corners: click more of them, or press escape");
  changed(session.labels.polygon(view.polygon, session.chosen));
  view.polygon = [];
  view.draw();
}

// --- selections

// Asks the server what the points select.
async function select() {
  const { current, labels, queue } = session, request = ++alikeRequest;
  const shares = view.points.map(([x, y, isWanted]) => [x / labels.width, y / labels.height, isWanted]);
  view.draw();
  say(queue.has_assistant ? "Asking the assistant" : "Looking for what is alike");
  try {
    const map = await (queue.has_assistant
      ? api.readAssistant(current, shares) : api.readAlike(current, shares[0][0], shares[0][1]));
    if (request !== alikeRequest) return; // another image, tool or pixel was chosen meanwhile
    view.layer.alike = map;
    setAlikeLimit(Number(element("alike").value));
    say("Move the slider Alike; enter paints, escape gives up");
  } catch (error) {
    if (request === alikeRequest) say(error.message);
  }
}

export function setAlikeLimit(limit) {
  view.layer.alikeLimit = limit;
  view.drawLayer();
}

export function paintAlike() {
  const box = session.labels.select(view.layer.alike, view.layer.alikeLimit, session.chosen);
  giveUp();
  changed(box);
}

// Forgets what was begun: the corners of a polygon, and a selection.
export function giveUp() {
  alikeRequest++;
  view.polygon = [];
  view.points = [];
  view.layer.alike = null;
  view.drawLayer();
}
