import { canUseCamera, takePhoto } from "./camera.js";

const chooseButton = document.querySelector("#choose");
const photoButton = document.querySelector("#take-photo");
const fileInput = document.querySelector("#files");
const captureInput = document.querySelector("#capture");

/**
 * Accepts images that are dropped, pasted, chosen or photographed.
 * @param {(files: File[]) => void} onFiles
 * @param {(message: string) => void} onRejected called with a message for the user if there was no file.
 */
export function setUpInput(onFiles, onRejected) {
  chooseButton.addEventListener("click", () => fileInput.click());
  for (const input of [fileInput, captureInput]) {
    input.addEventListener("change", () => {
      if (input.files.length > 0) onFiles([...input.files]);
      // Otherwise choosing the same file again would fire no event.
      input.value = "";
    });
  }
  setUpCamera(onFiles, onRejected);
  setUpDrop(onFiles, onRejected);
  addEventListener("paste", ({ clipboardData, target }) => {
    if (target.matches?.('input[type="password"]')) return;
    const pasted = [...clipboardData.files];
    if (pasted.length > 0) onFiles(pasted.map(withDistinctName));
    else onRejected("The clipboard contains no image. Copy an image, then paste it here.");
  });
}

function setUpCamera(onFiles, onRejected) {
  // A phone's own camera app is better than a video on a page.
  const phone = matchMedia("(pointer: coarse)").matches;
  photoButton.hidden = !phone && !canUseCamera();
  let open = false;
  photoButton.addEventListener("click", async () => {
    if (phone) return captureInput.click();
    // The button can be pressed again while the browser asks for permission.
    if (open) return;
    open = true;
    try {
      const photo = await takePhoto();
      if (photo !== undefined) onFiles([photo]);
    } catch {
      onRejected("The camera is not available. Allow access to it in your browser's settings, or choose an image.");
    } finally {
      open = false;
    }
  });
}

function setUpDrop(onFiles, onRejected) {
  // Every element under the pointer fires its own events, so count entries against exits.
  let depth = 0;
  const changeDepth = (change) => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle("dragging", depth > 0);
  };
  addEventListener("dragenter", () => changeDepth(1));
  addEventListener("dragleave", () => changeDepth(-1));
  // The browser's own handling puts a dropped file into a file field.
  const isFileField = ({ target }) => target.matches?.('input[type="file"]');
  addEventListener("dragover", (event) => isFileField(event) || event.preventDefault());
  addEventListener("drop", (event) => {
    changeDepth(-depth);
    if (isFileField(event)) return;
    event.preventDefault();
    const dropped = [...event.dataTransfer.files];
    if (dropped.length > 0) onFiles(dropped);
    else onRejected("You did not drop a file. Save the image to your device, then drop that file here.");
  });
}

/** Browsers call every pasted image `image.png`. */
function withDistinctName(file, index) {
  if (file.name && file.name !== "image.png") return file;
  const time = new Date().toTimeString().slice(0, 8).replaceAll(":", "");
  const suffix = index > 0 ? `-${index}` : "";
  const extension = file.type.split("/")[1] ?? "png";
  return new File([file], `pasted-${time}${suffix}.${extension}`, { type: file.type });
}
