import { phaseWords } from "./messages.js";

const section = document.querySelector("#session");
const list = document.querySelector("#gallery");
const buttons = new Map();

/** Shows a picture of the session as a button; `onSelect` is told when it is pressed. */
export function addToGallery(picture, onSelect) {
  const button = document.createElement("button");
  const image = document.createElement("img");
  const mark = document.createElement("span");
  const item = document.createElement("li");
  button.type = "button";
  image.alt = "";
  mark.className = "mark";
  mark.setAttribute("aria-hidden", "true");
  const label = document.createElement("span");
  label.className = "label";
  label.textContent = picture.name;
  for (const type of ["load", "error"]) {
    image.addEventListener(type, () => image.hidden = !(label.hidden = type === "load"));
  }
  button.append(image, label, mark);
  button.addEventListener("click", () => onSelect(picture));
  item.append(button);
  list.prepend(item);
  buttons.set(picture, button);
  section.hidden = false;
  updateGallery(picture);
}

/** Shows what has become of a picture. */
export function updateGallery({ name, phase, url, result }) {
  const button = [...buttons].find(([picture]) => picture.url === url)[1];
  const image = button.querySelector("img");
  const source = result?.url ?? url;
  if (image.getAttribute("src") !== source) image.src = source;
  button.dataset.state = ["done", "failed"].includes(phase.state) ? phase.state : "busy";
  button.setAttribute("aria-label", `${name}: ${phaseWords(phase)}`);
}

/** Marks the picture that is shown. */
export function markSelected(selected) {
  for (const [picture, button] of buttons) button.setAttribute("aria-pressed", `${picture === selected}`);
}
