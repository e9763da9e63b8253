const dialog = document.querySelector("#camera");
const viewfinder = document.querySelector("#viewfinder");
const shutter = document.querySelector("#shutter");
const close = document.querySelector("#camera-close");

/** Whether this browser has a camera to ask for; it has none where the page came over plain http. */
export function canFilm() {
  return navigator.mediaDevices?.getUserMedia !== undefined;
}

/**
 * Shows what the camera sees until a picture is taken.
 * @returns {Promise<File | undefined>} undefined where the dialog was closed.
 * @throws {DOMException} where there is no camera, or it may not be used.
 */
export async function takePicture() {
  const stream = await navigator.mediaDevices.getUserMedia({
    video: { facingMode: "environment", width: { ideal: 1920 }, height: { ideal: 1080 } },
  });
  const closed = Promise.withResolvers();
  const listening = new AbortController();
  const on = (target, type, listener) => target.addEventListener(type, listener, { signal: listening.signal });
  try {
    viewfinder.srcObject = stream;
    dialog.showModal();
    on(dialog, "close", () => closed.resolve());
    on(close, "click", () => dialog.close());
    on(shutter, "click", async () => {
      closed.resolve(await frame());
      dialog.close();
    });
    await viewfinder.play();
    return await closed.promise;
  } finally {
    listening.abort();
    for (const track of stream.getTracks()) track.stop();
    viewfinder.srcObject = null;
  }
}

async function frame() {
  const canvas = document.createElement("canvas");
  canvas.width = viewfinder.videoWidth;
  canvas.height = viewfinder.videoHeight;
  canvas.getContext("2d").drawImage(viewfinder, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
  return new File([blob], `camera-${Date.now()}.jpg`, { type: blob.type });
}
