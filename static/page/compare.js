const figure = document.querySelector("#compare");
const before = document.querySelector("#before");
const after = document.querySelector("#after");
const split = document.querySelector("#split");
const noPreview = document.querySelector("#no-preview");

/** Aspect ratios that differ by less than this count as equal. */
const RATIO_TOLERANCE = 0.01;

split.addEventListener("input", showSplit);
for (const image of [before, after]) {
  image.addEventListener("load", arrange);
  image.addEventListener("error", arrange);
}

/** Shows a picture and, once there is one, its cutout: on top with a slider, or side by side if it was cropped. */
export function compare(picture) {
  const { url, name, result } = picture;
  setSource(before, url);
  setSource(after, result?.url);
  before.alt = `Original of ${name}`;
  after.alt = `Cutout of ${name}`;
  arrange();
}

function setSource(image, url) {
  if (url === undefined) image.removeAttribute("src");
  else if (image.getAttribute("src") !== url) image.src = url;
}

function arrange() {
  const [originalRatio, cutoutRatio] = [before, after].map(({ naturalWidth, naturalHeight, src }) =>
    src && naturalWidth > 0 ? naturalWidth / naturalHeight : undefined
  );
  // Keep what is shown until the next image has loaded, so that nothing flickers.
  if (!before.complete || after.src && !after.complete) return;
  const mode = modeOf(originalRatio, cutoutRatio);
  figure.dataset.mode = mode;
  figure.hidden = mode === "none";
  split.hidden = mode !== "overlay";
  // The server reads formats that most browsers do not, such as TIFF.
  noPreview.hidden = mode !== "cutout";
  figure.style.setProperty("--ratio", `${cutoutRatio ?? originalRatio ?? 4 / 3}`);
  showSplit();
}

function modeOf(originalRatio, cutoutRatio) {
  if (cutoutRatio === undefined) return originalRatio === undefined ? "none" : "original";
  if (originalRatio === undefined) return "cutout";
  const cropped = before.naturalWidth !== after.naturalWidth ||
    Math.abs(originalRatio / cutoutRatio - 1) > RATIO_TOLERANCE;
  return cropped ? "side-by-side" : "overlay";
}

function showSplit() {
  figure.style.setProperty("--split", `${split.value}%`);
  split.setAttribute("aria-valuetext", `${split.value}% original, ${100 - split.value}% cutout`);
}
