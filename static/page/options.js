/** A slider or the colour must rest this long before the cutout is rendered again. */
const DEBOUNCE_MS = 250;

const form = document.querySelector("#options");
const field = (id) => document.getElementById(id);

/**
 * Reads the controls.
 * @returns {{query: URLSearchParams, background: File | undefined, key: string}} the options by their names in the API,
 *   without defaults, so that each cutout has one address; the background image; and a key that differs for each
 *   combination of the two.
 */
export function currentOptions() {
  const query = {};
  const format = field("format").value;
  if (format !== "png") Object.assign(query, { format, quality: field("quality").value });
  if (backgroundKind() === "colour") query.background = field("colour").value;
  if (field("crop").checked) Object.assign(query, { crop: "true", margin: `${field("margin").value}%` });
  if (field("matting").value !== "none") query.matting = field("matting").value;
  if (field("shadow").checked) query.shadow = "true";
  const background = backgroundKind() === "image" ? field("background-image").files[0] : undefined;
  const file = background && [background.name, background.size, background.lastModified];
  return { query: new URLSearchParams(query), background, key: JSON.stringify([query, file]) };
}

/** Calls `onChange` when the options change. A control that passes through many values must come to rest first. */
export function watchOptions(onChange) {
  let timer;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", ({ target }) => {
    showDependentControls();
    clearTimeout(timer);
    timer = setTimeout(onChange, ["range", "color"].includes(target.type) ? DEBOUNCE_MS : 0);
  });
  // After a reload, browsers restore the values of a form.
  addEventListener("pageshow", showDependentControls);
  showDependentControls();
}

function backgroundKind() {
  return form.elements.background.value;
}

/** Shows only the controls that have an effect, and the values of the sliders. */
function showDependentControls() {
  field("colour-field").hidden = backgroundKind() !== "colour";
  field("background-image-field").hidden = backgroundKind() !== "image";
  field("background-image-hint").hidden = field("background-image").files.length > 0;
  field("margin-field").hidden = !field("crop").checked;
  field("quality-field").hidden = field("format").value === "png";
  for (const name of ["margin", "quality"]) {
    const { value, dataset } = field(name);
    field(`${name}-value`).value = `${value}${dataset.unit}`;
  }
}
