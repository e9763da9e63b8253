import { phaseMessage } from "./messages.js";

const section = document.querySelector("#session");
const list = document.querySelector("#gallery");
/** The button of each picture. */
const buttons = new Map();

/** Adds a button with a thumbnail of a picture. `onSelect` is called with the picture when the button is pressed. */
export function addToGallery(picture, onSelect) {
  const button = document.createElement("button");
  const image = document.createElement("img");
  const fallback = document.createElement("span");
  const mark = document.createElement("span");
  const item = document.createElement("li");
  button.type = "button";
  image.alt = "";
  fallback.className = "fallback";
  fallback.textContent = picture.name;
  mark.className = "mark";
  mark.setAttribute("aria-hidden", "true");
  const showImage = (loaded) => {
    image.hidden = !loaded;
    fallback.hidden = loaded;
  };
  image.addEventListener("load", () => showImage(true));
  image.addEventListener("error", () => showImage(false));
  button.append(image, fallback, mark);
  button.addEventListener("click", () => onSelect(picture));
  item.append(button);
  list.prepend(item);
  buttons.set(picture, button);
  section.hidden = false;
  updateGallery(picture);
}

/** Shows the latest state of a picture: its cutout once there is one, and the phase it is in. */
export function updateGallery(picture) {
  const { name, phase, url, result } = picture;
  const button = buttons.get(picture);
  const image = button.querySelector("img");
  const source = result?.url ?? url;
  if (image.getAttribute("src") !== source) image.src = source;
  button.dataset.state = ["done", "failed"].includes(phase.state) ? phase.state : "busy";
  button.setAttribute("aria-label", `${name}: ${phaseMessage(phase)}`);
}

/** Marks the picture on the stage. */
export function markSelected(selected) {
  for (const [picture, button] of buttons) button.setAttribute("aria-pressed", `${picture === selected}`);
}
