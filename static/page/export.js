import { formatBytes } from "./messages.js";

const section = document.querySelector("#export");
const download = document.querySelector("#download");
const copy = document.querySelector("#copy");
const sizeText = document.querySelector("#size");

let shown;

/** Prepares the copy button. `onCopied` is called with a message for the user that says whether it worked. */
export function setUpExport(onCopied) {
  // Browsers offer the clipboard on secure pages only.
  copy.hidden = navigator.clipboard?.write === undefined;
  copy.addEventListener("click", async () => {
    try {
      // Pass a promise: if the code awaited it first, Safari would forget that the user pressed a button.
      await navigator.clipboard.write([new ClipboardItem({ "image/png": toPng(shown.result.file) })]);
      onCopied("Cutout copied to the clipboard.");
    } catch {
      onCopied("The cutout could not be copied. Download it instead.");
    }
  });
}

/** Shows the download link, the copy button and the file size once the picture has a cutout. */
export function showExport(picture) {
  shown = picture;
  const { name, result } = picture;
  section.hidden = result === undefined;
  if (result === undefined) return;
  const extension = result.file.type.split("/")[1];
  download.href = result.url;
  download.download = `${name.replace(/\.[^.]*$/, "") || "image"}-cutout.${extension}`;
  sizeText.textContent = `${extension.toUpperCase()}, ${formatBytes(result.file.size)}`;
}

/** PNG is the only image format that every clipboard accepts. */
async function toPng(file) {
  if (file.type === "image/png") return file;
  const bitmap = await createImageBitmap(file);
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  return await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
