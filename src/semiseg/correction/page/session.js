// What the parts of the page share: the image that is shown, its mask, and what was chosen.

import { View } from "./view.js";

export const element = (id) => document.getElementById(id);

export const view = new View(element("canvas"));

export const session = {
  queue: null, // the images, as the server lists them; each may get a `problem`
  classes: [], // names and colors
  current: -1, // the number of the image that is shown
  labels: null, // its mask
  history: null, // the steps that can be undone
  revision: null, // of its mask on the disk
  tool: "brush",
  chosen: 0, // the index of the class that tools paint
  stroke: null, // of the brush, while a button is held
  isBusy: false, // an image is loaded, or a state written: nothing may change meanwhile
  isPanning: false, // space is held
};

export function say(text) {
  element("status").textContent = text;
}
