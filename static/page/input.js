import { canFilm, takePicture } from "./camera.js";

const chooseButton = document.querySelector("#choose");
const takeButton = document.querySelector("#take");
const files = document.querySelector("#files");
const shot = document.querySelector("#shot");

/** Takes in pictures that are dropped, pasted, chosen or taken. `onNothing` is told why where something else came. */
export function takeIn(onFiles, onNothing) {
  chooseButton.addEventListener("click", () => files.click());
  for (const input of [files, shot]) {
    input.addEventListener("change", () => {
      if (input.files.length > 0) onFiles([...input.files]);
      // So that the same file can be chosen again.
      input.value = "";
    });
  }
  prepareCamera(onFiles, onNothing);
  takeDrops(onFiles, onNothing);
  addEventListener("paste", ({ clipboardData, target }) => {
    if (target.matches?.('input[type="password"]')) return;
    const pasted = [...clipboardData.files];
    if (pasted.length > 0) onFiles(pasted.map(named));
    else onNothing("There is no picture in the clipboard. Copy a picture first.");
  });
}

function prepareCamera(onFiles, onNothing) {
  // A phone's own camera application is better than a video on a page.
  const phone = matchMedia("(pointer: coarse)").matches;
  takeButton.hidden = !phone && !canFilm();
  let filming = false;
  takeButton.addEventListener("click", async () => {
    if (phone) return shot.click();
    // Such as a second press while the browser still asks whether the camera may be used.
    if (filming) return;
    filming = true;
    try {
      const picture = await takePicture();
      if (picture !== undefined) onFiles([picture]);
    } catch {
      onNothing("The camera cannot be used. Allow it in the browser's settings, or choose a file.");
    } finally {
      filming = false;
    }
  });
}

function takeDrops(onFiles, onNothing) {
  let depth = 0;
  const hover = (change) => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle("over", depth > 0);
  };
  addEventListener("dragenter", () => hover(1));
  addEventListener("dragleave", () => hover(-1));
  // A field for a file takes what is dropped on it.
  const isField = ({ target }) => target.matches?.('input[type="file"]');
  addEventListener("dragover", (event) => isField(event) || event.preventDefault());
  addEventListener("drop", (event) => {
    hover(-depth);
    if (isField(event)) return;
    event.preventDefault();
    const dropped = [...event.dataTransfer.files];
    if (dropped.length > 0) onFiles(dropped);
    else onNothing("That was no file. Save the picture first, then drop the file.");
  });
}

/** What is pasted is always called image.png. */
function named(file, index) {
  const time = new Date().toTimeString().slice(0, 8).replaceAll(":", "");
  const extension = file.type.split("/")[1] ?? "png";
  return file.name && file.name !== "image.png"
    ? file
    : new File([file], `pasted-${time}${index > 0 ? `-${index}` : ""}.${extension}`, { type: file.type });
}
