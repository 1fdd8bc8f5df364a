// The lists to choose from: tools and classes.

import { element, session } from "./session.js";
import { giveUp, TOOLS } from "./tools.js";

export function choose(kind, choice) {
  const box = document.querySelector(`input[name="${kind}"][value="${choice}"]`);
  if (!box || box.disabled) return;
  box.checked = true;
  if (kind === "tool") {
    session.tool = choice;
    giveUp();
  } else session.chosen = Number(choice);
}

export function listTools() {
  TOOLS.forEach(([name, text, key]) => element("tools").append(radio(
    "tool", name, `${text} (${key})`, null, name === session.tool, name === "erase" && !session.queue.can_ignore)));
}

export function listClasses() {
  session.queue.classes.forEach(({ name, color }, i) => element("classes").append(
    radio("class", i, i < 9 ? `${i + 1}: ${name}` : name, color, i === session.chosen)));
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
  return label;
}
