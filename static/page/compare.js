const figure = document.querySelector("#compare");
const before = document.querySelector("#before");
const after = document.querySelector("#after");
const split = document.querySelector("#split");
const unseen = document.querySelector("#unseen");

/** Sizes of images are as good as equal below this. */
const SAME = 0.01;

split.addEventListener("input", showSplit);
for (const image of [before, after]) {
  image.addEventListener("load", fit);
  image.addEventListener("error", fit);
}

/** Shows a picture, and its cutout where there is one: over it, with a slider, or beside it where it was cropped. */
export function compare(picture) {
  const { url, name, result } = picture;
  setSource(before, url);
  setSource(after, result?.url);
  before.alt = `Original of ${name}`;
  after.alt = `Cutout of ${name}`;
  fit();
}

function setSource(image, url) {
  if (url === undefined) image.removeAttribute("src");
  else if (image.getAttribute("src") !== url) image.src = url;
}

function fit() {
  const [original, cutout] = [before, after].map(({ naturalWidth, naturalHeight, src }) =>
    src && naturalWidth > 0 ? naturalWidth / naturalHeight : undefined
  );
  // Until the next one has loaded, what is shown stays as it is.
  if (!before.complete || after.src && !after.complete) return;
  const mode = modeOf(original, cutout);
  figure.dataset.mode = mode;
  figure.hidden = mode === "none";
  split.hidden = mode !== "over";
  // Such as TIFF, which the server reads and most browsers do not.
  unseen.hidden = mode !== "cutout";
  figure.style.setProperty("--ratio", `${cutout ?? original ?? 4 / 3}`);
  showSplit();
}

function modeOf(original, cutout) {
  if (cutout === undefined) return original === undefined ? "none" : "original";
  if (original === undefined) return "cutout";
  const cropped = before.naturalWidth !== after.naturalWidth || Math.abs(original / cutout - 1) > SAME;
  return cropped ? "apart" : "over";
}

function showSplit() {
  figure.style.setProperty("--split", `${split.value}%`);
  split.setAttribute("aria-valuetext", `${split.value} % original, ${100 - split.value} % cutout`);
}
