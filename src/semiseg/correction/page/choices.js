// The lists to choose from: tools and classes, and the dialog that adds a class.

import * as api from "./api.js";
import { element, say, session, view } from "./session.js";
import { brushSize, giveUp, sayNoClass, setSize, TOOLS } from "./tools.js";

const KEYS = 9; // the first classes have the keys 1 to 9
const CORNERS = "Click the corners; enter closes the polygon, escape gives it up";
const NO_IGNORING = "The masks have no value for ignored pixels. Add one to classes.yaml, such as ignore: [255], "
  + "or ignore: ['#ffffff'] where masks hold colors, and train again.";

export function choose(kind, choice) {
  const box = document.querySelector(`input[name="${kind}"][value="${choice}"]`);
  if (!box) return sayNoClass(choice);
  if (box.disabled) return say(NO_IGNORING);
  box.checked = true;
  if (kind === "tool") {
    session.tool = choice;
    setSize(brushSize());
    giveUp();
    if (choice === "polygon") say(CORNERS);
  } else session.chosen = Number(choice);
}

export function listTools() {
  TOOLS.forEach(([name, text, key]) => element("tools").append(radio("tool", name, `${toolName(name, text)} (${key})`,
    null, name === session.tool, name === "erase" && !session.queue.can_ignore)));
}

const toolName = (name, text) => (name === "alike" && session.queue.has_assistant ? "Assistant" : text);

// Takes the classes as the server lists them.
export function setClasses(answer) {
  session.classes = answer.classes;
  element("class-color").value = answer.next_color;
  view.layer.setColors(session.classes.map(({ color }) => color));
  view.drawLayer();
  element("class-list").replaceChildren(...session.classes.map(({ name, color }, i) => radio(
    "class", i, i < KEYS ? `${i + 1}: ${name}` : name, color, i === session.chosen)));
}

function radio(kind, choice, text, color, isChecked, isDisabled = false) {
  const label = document.createElement("label"), input = document.createElement("input");
  Object.assign(input, { type: "radio", name: kind, value: choice, checked: isChecked, disabled: isDisabled });
  input.addEventListener("change", () => choose(kind, choice));
  label.append(input);
  if (color) {
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = `rgb(${color.join(" ")})`;
    label.append(swatch);
  }
  label.append(text);
  if (isDisabled) {
    label.title = input.title = NO_IGNORING;
    label.addEventListener("click", () => say(NO_IGNORING));
  }
  return label;
}

// --- a new class

export function openNewClass() {
  const number = session.classes.length + 1;
  element("class-name").value = "";
  element("class-error").textContent = "";
  element("class-key").textContent = number <= KEYS
    ? `Its key will be ${number}.` : "It will have no key: the first nine classes have one.";
  element("new-class").showModal();
}

export async function addClass(event) {
  event.preventDefault(); // the dialog stays open if the class is refused
  try {
    setClasses(await api.writeClass(element("class-name").value, element("class-color").value));
  } catch (error) {
    element("class-error").textContent = error.message;
    return;
  }
  element("new-class").close();
  choose("class", session.classes.length - 1);
  say(`New class ${session.classes.at(-1).name}`);
}
