/** How long a slider or the colour must rest before the cutout is made anew, in milliseconds. */
const REST_MS = 250;

const form = document.querySelector("#options");
const field = (id) => document.querySelector(`#${id}`);

/**
 * What the controls say.
 * @returns {{query: URLSearchParams, background: File | undefined, key: string}} the options as the API names
 *   them (defaults left out, so that one cutout has one address), the background picture, and a text that is another
 *   one for another cutout.
 */
export function currentOptions() {
  const query = {};
  const format = field("format").value;
  if (format !== "png") Object.assign(query, { format, quality: field("quality").value });
  if (ground() === "colour") query.background = field("colour").value;
  if (field("crop").checked) Object.assign(query, { crop: "true", margin: `${field("margin").value}%` });
  if (field("refine").checked) query.refine = "true";
  const background = ground() === "picture" ? field("ground-picture").files[0] : undefined;
  const picture = background && [background.name, background.size, background.lastModified];
  return { query: new URLSearchParams(query), background, key: JSON.stringify([query, picture]) };
}

/** Calls `onChange` when other options are wanted; after a rest where a control moves through many values. */
export function watchOptions(onChange) {
  let resting;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", ({ target }) => {
    show();
    clearTimeout(resting);
    resting = setTimeout(onChange, ["range", "color"].includes(target.type) ? REST_MS : 0);
  });
  // Browsers restore what a form said before a reload.
  addEventListener("pageshow", show);
  show();
}

function ground() {
  return form.elements.ground.value;
}

/** Shows the controls that have an effect, and what the sliders say. */
function show() {
  field("colour-field").hidden = ground() !== "colour";
  field("picture-field").hidden = ground() !== "picture";
  field("picture-hint").hidden = field("ground-picture").files.length > 0;
  field("margin-field").hidden = !field("crop").checked;
  field("quality-field").hidden = field("format").value === "png";
  for (const name of ["margin", "quality"]) {
    const { value, dataset } = field(name);
    field(`${name}-value`).value = `${value}${dataset.unit}`;
  }
}
