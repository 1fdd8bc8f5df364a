"use strict";
// Each image is a stack of pictures. Two of them are visible; the slider clips the left one.
const sides = ["left", "right"];
const choices = Object.fromEntries(sides.map((side) => [side, document.getElementById(side)]));

function show() {
  for (const layer of document.querySelectorAll(".layer")) {
    for (const side of sides) {
      layer.classList.toggle(side, layer.dataset.layer === choices[side].value);
    }
  }
}

function move(slider) {
  slider.closest(".stage").style.setProperty("--at", `${slider.value}%`);
  slider.setAttribute("aria-valuetext", `${slider.value} % ${choices.left.value}, rest ${choices.right.value}`);
}

if (choices.left) {
  const sliders = document.querySelectorAll(".stage input");
  const all = () => { show(); sliders.forEach(move); };
  for (const slider of sliders) slider.addEventListener("input", () => move(slider));
  for (const choice of Object.values(choices)) choice.addEventListener("change", all);
  all();
}

// The page of a training that was killed would wait for ever.
const live = document.querySelector("[data-overdue]");
if (live && Date.now() / 1000 > Number(live.dataset.overdue)) {
  document.getElementById("overdue").hidden = false;
}
