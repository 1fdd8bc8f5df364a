// Starts the page: reads the queue, and connects the controls with what they do.

import * as api from "./api.js";
import { listClasses, listTools } from "./choices.js";
import { goToDoubt, showLayers } from "./doubt.js";
import { decide, reload, show, showFirst } from "./images.js";
import { KEYS, listenToKeys } from "./keys.js";
import { listenToPointers } from "./pointer.js";
import { save, step } from "./saving.js";
import { element, say, session, view } from "./session.js";
import { brushSize, setSize } from "./tools.js";
import { watchTraining } from "./training.js";

const CLICKS = {
  previous: () => show(session.current - 1), next: () => show(session.current + 1),
  accept: () => decide("accepted"), skip: () => decide("skipped"),
  undo: () => step("undo"), redo: () => step("redo"), doubtful: goToDoubt,
  "zoom-in": () => view.zoom(1.25), "zoom-out": () => view.zoom(0.8), fit: () => view.fit(),
  "help-button": () => element("help").showModal(),
  retry: () => { element("problem").close(); save(); },
  reload: () => { element("problem").close(); reload(); },
};

function connect() {
  for (const [key, text] of KEYS) {
    const term = document.createElement("dt"), description = document.createElement("dd");
    term.textContent = key;
    description.textContent = text;
    element("keys").append(term, description);
  }
  for (const [id, action] of Object.entries(CLICKS)) element(id).addEventListener("click", action);
  element("size").addEventListener("input", () => setSize(brushSize()));
  element("opacity").addEventListener("input", (event) => {
    view.opacity = event.target.value / 100;
    view.draw();
  });
  element("alike").addEventListener("input", (event) => {
    view.alikeLimit = Number(event.target.value);
    view.draw();
  });
  element("show-doubt").addEventListener("change", showLayers);
  element("show-disagreement").addEventListener("change", showLayers);
  listenToPointers();
  listenToKeys();
}

async function start() {
  try {
    session.queue = await api.readQueue();
  } catch (error) {
    return say(error.message);
  }
  view.setColors(session.queue.classes.map(({ color }) => color));
  listTools();
  listClasses();
  connect();
  setSize(21);
  view.resize();
  watchTraining();
  await showFirst();
}

start();
