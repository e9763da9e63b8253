import { size } from "./messages.js";

const section = document.querySelector("#keep");
const download = document.querySelector("#download");
const copy = document.querySelector("#copy");
const sizeText = document.querySelector("#size");

let shown;

/** Offers the cutout for download and for the clipboard; `onCopied` is told how that went, in words. */
export function offerToKeep(onCopied) {
  // Browsers have it on secure pages only.
  copy.hidden = navigator.clipboard?.write === undefined;
  copy.addEventListener("click", async () => {
    try {
      // Given as a promise: Safari forgets that the user pressed a button while anything is waited for.
      await navigator.clipboard.write([new ClipboardItem({ "image/png": asPng(shown.result.file) })]);
      onCopied("Copied the cutout to the clipboard.");
    } catch {
      onCopied("The browser did not allow copying. Download the cutout instead.");
    }
  });
}

export function showKeep(picture) {
  shown = picture;
  const { name, result } = picture;
  section.hidden = result === undefined;
  if (result === undefined) return;
  const extension = result.file.type.split("/")[1];
  download.href = result.url;
  download.download = `${name.replace(/\.[^.]*$/, "") || "picture"}-cutout.${extension}`;
  sizeText.textContent = `${extension.toUpperCase()}, ${size(result.file.size)}`;
}

/** The only format of pictures that every clipboard takes. */
async function asPng(file) {
  if (file.type === "image/png") return file;
  const bitmap = await createImageBitmap(file);
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  return await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
