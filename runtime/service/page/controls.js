// Fields for the engine's controls, made from its manifest: classes to choose, seeds to draw, numbers to slide.

import {ask} from "./service.js";

const MOST_SLIDERS = 64;
const MOST_SEED = 999;

/** Fill `form` from GET /controls; `say(text, bad)` tells what was set or refused. Resolves to how many there are. */
export async function buildControls(form, say) {
  const controls = await (await ask("/controls")).json();
  form.replaceChildren(...Object.entries(controls).map(([name, control]) => field(name, control, say)));
  form.onsubmit = (event) => event.preventDefault();
  return Object.keys(controls).length;
}

function field(name, control, say) {
  const box = element("fieldset", {"data-control": name});
  const legend = element("legend", {}, `${name} `);
  legend.append(element("small", {}, control.kind));
  box.append(legend);
  const set = sender(name, box, say);
  const size = control.shape.reduce((product, length) => product * length, 1);
  if (control.names.length) box.append(classes(control, size, set));
  if (control.distribution) box.append(seeds(name, control, set));
  if (!control.names.length && control.value && size <= MOST_SLIDERS) box.append(sliders(control, set));
  if (box.childElementCount === 1) {
    box.append(element("p", {class: "note"}, `cannot be set here; it takes ${control.allowed}`));
    return box;
  }
  const reset = element("button", {type: "button"}, "default");
  reset.onclick = () => set("default", true);
  (box.querySelector(".row") ?? box).append(reset);
  return box;
}

/** Sends the newest value only: what is dragged over meanwhile is left out. */
function sender(name, box, say) {
  let waiting = null, sending = false;
  return async function set(value, redraw = false) {
    waiting = {value, redraw};
    if (sending) return;
    sending = true;
    while (waiting) {
      const {value: newest, redraw: again} = waiting;
      waiting = null;
      try {
        const answer = await ask("/controls", {method: "POST", body: JSON.stringify({[name]: newest})});
        const now = (await answer.json())[name];
        say(`${name} = ${now.set}`, false);
        if (again || String(newest).startsWith("seed:")) show(box, now);
      } catch (error) {
        say(error.message, true);
      }
    }
    sending = false;
  };
}

function classes(control, size, set) {
  const row = element("div", {class: "row", role: "group"});
  const several = size > 1 && control.kind !== "domain";
  for (const name of control.names) {
    const button = element("button", {type: "button", "aria-pressed": "false", "data-class": name}, name);
    button.onclick = (event) => {
      const others = several && (event.ctrlKey || event.metaKey || event.shiftKey);
      const pressed = (one) => (one === button ? true : others && one.getAttribute("aria-pressed") === "true");
      const buttons = [...row.querySelectorAll("[data-class]")];
      for (const one of buttons) one.setAttribute("aria-pressed", pressed(one));
      set(buttons.filter(pressed).map((one) => one.dataset.class).join(","));
    };
    row.append(button);
  }
  (control.value ?? []).forEach((value, index) => press(row, control, size, value, index));
  return row;
}

function press(row, control, size, value, index) {
  const chosen = size === 1 ? Math.round(value) : index;
  const button = row.querySelectorAll("[data-class]")[chosen];
  button?.setAttribute("aria-pressed", size === 1 || value > 0.5);
}

function seeds(name, control, set) {
  const row = element("div", {class: "row"});
  const slider = element("input", {type: "range", min: 0, max: MOST_SEED, step: 1, value: 0, "data-seed": "slider",
    "aria-label": `seed of ${name}`});
  const number = element("input", {type: "number", min: 0, step: 1, value: 0, "data-seed": "number",
    "aria-label": `seed of ${name}, as a number`});
  const dice = element("button", {type: "button"}, "draw");
  const take = (seed) => {
    slider.value = number.value = seed;
    set(`seed:${seed}`);
  };
  slider.oninput = () => take(slider.value);
  number.onchange = () => number.validity.valid && number.value !== "" && take(number.value);
  dice.onclick = () => take(Math.floor(Math.random() * (MOST_SEED + 1)));
  const label = element("label", {}, "seed");
  label.append(slider);
  row.append(label, number, dice);
  const now = /^seed:(\d+)$/.exec(control.set);
  if (now) slider.value = number.value = now[1];
  return row;
}

function sliders(control, set) {
  const low = control.low ?? -3, high = control.high ?? 3; // three deviations of a normal draw
  const box = element("div", {class: "sliders"});
  control.value.forEach((value, index) => {
    const label = element("label");
    const slider = element("input", {type: "range", min: low, max: high, step: (high - low) / 200, value,
      "data-element": index, "aria-label": `number ${index + 1}`});
    const shown = element("output", {}, value.toFixed(2));
    slider.oninput = () => {
      shown.textContent = Number(slider.value).toFixed(2);
      set([...box.querySelectorAll("input")].map((one) => Number(one.value)));
    };
    label.append(slider, shown);
    box.append(label);
  });
  return box;
}

/** Bring the fields to what the service says. */
function show(box, control) {
  const size = control.shape.reduce((product, length) => product * length, 1);
  (control.value ?? []).forEach((value, index) => {
    const slider = box.querySelector(`[data-element="${index}"]`);
    if (slider) {
      slider.value = value;
      slider.nextElementSibling.textContent = value.toFixed(2);
    }
    if (control.names.length) press(box, control, size, value, index);
  });
}

function element(tag, attributes = {}, text = "") {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  return made;
}
