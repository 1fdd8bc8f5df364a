// Starts the page: reads the queue, and connects the controls with what they do.

import * as api from "./api.js";
import { addClass, listTools, openNewClass, setClasses } from "./choices.js";
import { goToDoubt, showLayers } from "./doubt.js";
import { decide, leave, reload, show, showFirst, showPicture } from "./images.js";
import { KEYS, listenToKeys } from "./keys.js";
import { listenToPointers } from "./pointer.js";
import { save, step } from "./saving.js";
import { element, say, session, view } from "./session.js";
import { brushSize, chooseSize, setAlikeLimit } from "./tools.js";
import { watchTraining } from "./training.js";

const ASSISTANT_LIMIT = 128; // of 255: what the assistant holds for more likely than not

const CLICKS = {
  previous: () => show(session.current - 1, -1), next: () => show(session.current + 1),
  accept: () => decide("accepted"), skip: () => decide("skipped"),
  undo: () => step("undo"), redo: () => step("redo"), doubtful: goToDoubt,
  "zoom-in": () => view.zoom(1.25), "zoom-out": () => view.zoom(0.8), fit: () => view.fit(),
  "add-class": openNewClass, "class-cancel": () => element("new-class").close(),
  "help-button": () => element("help").showModal(),
  retry: () => { element("problem").close(); save(); },
  leave: () => { element("problem").close(); leave(); },
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
  element("size").addEventListener("input", () => chooseSize(brushSize()));
  element("opacity").addEventListener("input", (event) => {
    view.layer.opacity = event.target.value / 100;
    view.drawLayer();
  });
  for (const name of ["brightness", "contrast"]) element(name).addEventListener("input", setFilter);
  element("stretched").addEventListener("change", showPicture);
  element("alike").addEventListener("input", (event) => setAlikeLimit(Number(event.target.value)));
  element("new-class-form").addEventListener("submit", addClass);
  element("show-doubt").addEventListener("change", showLayers);
  element("show-disagreement").addEventListener("change", showLayers);
  listenToPointers();
  listenToKeys();
}

// Brightness and contrast change what is seen, and nothing that is saved.
function setFilter() {
  const [brightness, contrast] = ["brightness", "contrast"].map((name) => element(name).value);
  view.filter = brightness === "100" && contrast === "100"
    ? "none" : `brightness(${brightness}%) contrast(${contrast}%)`;
  view.drawAll();
}

async function start() {
  try {
    session.queue = await api.readQueue();
    setClasses(await api.readClasses());
  } catch (error) {
    return say(error.message);
  }
  if (session.queue.has_assistant) element("alike").value = ASSISTANT_LIMIT;
  listTools();
  connect();
  view.resize();
  watchTraining();
  await showFirst();
}

start();
