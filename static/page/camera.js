const dialog = document.querySelector("#camera");
const viewfinder = document.querySelector("#viewfinder");
const shutter = document.querySelector("#shutter");
const cancel = document.querySelector("#camera-cancel");

/** Whether the browser offers a camera. On a page loaded over plain http, none does. */
export function canUseCamera() {
  return navigator.mediaDevices?.getUserMedia !== undefined;
}

/**
 * Shows the camera's view until a photo is taken.
 * @returns {Promise<File | undefined>} undefined if the dialog was closed.
 * @throws {DOMException} if there is no camera or access is denied.
 */
export async function takePhoto() {
  const stream = await navigator.mediaDevices.getUserMedia({
    video: { facingMode: "environment", width: { ideal: 1920 }, height: { ideal: 1080 } },
  });
  const photo = Promise.withResolvers();
  const listeners = new AbortController();
  const on = (target, type, listener) => target.addEventListener(type, listener, { signal: listeners.signal });
  try {
    viewfinder.srcObject = stream;
    dialog.showModal();
    on(dialog, "close", () => photo.resolve());
    on(cancel, "click", () => dialog.close());
    on(shutter, "click", async () => {
      photo.resolve(await captureFrame());
      dialog.close();
    });
    await viewfinder.play();
    return await photo.promise;
  } finally {
    listeners.abort();
    for (const track of stream.getTracks()) track.stop();
    viewfinder.srcObject = null;
  }
}

async function captureFrame() {
  const canvas = document.createElement("canvas");
  canvas.width = viewfinder.videoWidth;
  canvas.height = viewfinder.videoHeight;
  canvas.getContext("2d").drawImage(viewfinder, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
  return new File([blob], `camera-${Date.now()}.jpg`, { type: blob.type });
}
