/*
 * What the page asks the server: its API is described at /docs. Addresses are relative, so that the page also works under
 * a path of a proxy.
 */

const TOKEN = "token";

/** Where the browser keeps nothing for pages (it may be told to), a token lasts until the page is left. */
let token = kept(() => sessionStorage.getItem(TOKEN));

/** Between two looks at where a picture is, in milliseconds; longer from look to look. */
const FIRST_LOOK_MS = 100;
const LAST_LOOK_MS = 500;

/** An answer that is no picture (RFC 9457). */
export class Refusal extends Error {
  name = "Refusal";
  constructor(status, { code, detail, request_id: requestId } = {}, retryAfter) {
    super(detail ?? `the server answered with status ${status}`);
    const retrySeconds = retryAfter === null ? undefined : Number(retryAfter);
    Object.assign(this, { status, code, requestId, retrySeconds, tokenSent: Boolean(token) });
  }
}

/** No answer at all. */
export class Unreachable extends Error {
  name = "Unreachable";
}

/**
 * @typedef {object} Answer
 * @property {Blob} file
 * @property {string} source memory, sqlite, redis, mask, inference, or browser
 * @property {{name: string, ms: number}[]} stages of the server's work
 * @property {string | undefined} digest of the picture, where the answer tells it
 */

/**
 * The cutout, where the cache has it.
 * @returns {Promise<Answer | undefined>}
 */
export async function find(digest, query, signal) {
  const address = new URL(withQuery(`cutouts/${digest}`, query), document.baseURI);
  let response;
  try {
    // Without the preference a picture that is not known would be an error in the browser's console.
    response = await fetch(address, { signal, headers: { ...authorization(), Prefer: "handling=lenient" } });
    if (response.status === 204) return undefined;
    if (response.ok) {
      const file = await response.blob();
      const source = cameFromBrowser(address) ? "browser" : sourceOf(response.headers.get("Cache-Status"));
      return { file, source, stages: stagesOf(response.headers.get("Server-Timing")), digest };
    }
  } catch (error) {
    throw signal.aborted ? signal.reason : new Unreachable(error.message);
  }
  throw new Refusal(response.status, await problemOf(response), response.headers.get("Retry-After"));
}

/**
 * Sends a picture. `onState` is told `{state, part}` while it is uploaded (part: 0 to 1), then of its way through the
 * server: `{state, position}`.
 * @returns {Promise<Answer>}
 */
export async function send(file, background, query, { signal, onState }) {
  const id = randomUuid();
  const sent = new AbortController();
  onState({ state: "uploading", part: 0 });
  try {
    const request = await upload(withQuery("cutouts", query), bodyOf(file, background), {
      signal,
      headers: { ...authorization(), "X-Request-Id": id },
      onProgress: (part) => onState({ state: "uploading", part }),
      onSent: () => {
        onState({ state: "waiting" });
        follow(id, onState, AbortSignal.any([signal, sent.signal]));
      },
    });
    const answer = (name) => request.getResponseHeader(name);
    if (request.status !== 200) {
      throw new Refusal(request.status, await problemOf(request.response), answer("Retry-After"));
    }
    return {
      file: request.response,
      source: sourceOf(answer("Cache-Status")),
      stages: stagesOf(answer("Server-Timing")),
      digest: /\/cutouts\/([0-9a-f]{64})/.exec(answer("Location"))?.[1],
    };
  } finally {
    sent.abort();
  }
}

/** Kept with the tab. */
export function useToken(given) {
  token = given;
  kept(() => sessionStorage.setItem(TOKEN, given));
}

function authorization() {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

function kept(access) {
  try {
    return access();
  } catch {
    return undefined;
  }
}

function withQuery(path, query) {
  return query.size === 0 ? path : `${path}?${query}`;
}

function bodyOf(file, background) {
  // Of no type: what it is, the server sees by itself, and says it in words where it is no picture.
  if (background === undefined) return new Blob([file], { type: "application/octet-stream" });
  const form = new FormData();
  form.set("file", file);
  form.set("background_image", background);
  return form;
}

/** By XMLHttpRequest, since fetch tells nothing of how far a body has gone. */
function upload(address, body, { signal, headers, onProgress, onSent }) {
  const { promise, resolve, reject } = Promise.withResolvers();
  const request = new XMLHttpRequest();
  request.open("POST", address);
  for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
  request.responseType = "blob";
  request.upload.onprogress = ({ loaded, total }) => onProgress(total === 0 ? 0 : loaded / total);
  request.upload.onload = onSent;
  request.onload = () => resolve(request);
  request.onerror = () => reject(new Unreachable("the connection failed"));
  request.onabort = () => reject(signal.reason);
  const abort = () => request.abort();
  signal.addEventListener("abort", abort);
  request.onloadend = () => signal.removeEventListener("abort", abort);
  if (signal.aborted) reject(signal.reason);
  else request.send(body);
  return promise;
}

async function follow(id, onState, signal) {
  for (let lookMs = FIRST_LOOK_MS; !signal.aborted; lookMs = Math.min(LAST_LOOK_MS, 1.5 * lookMs)) {
    await new Promise((resolve) => setTimeout(resolve, lookMs));
    if (signal.aborted) return;
    try {
      const { state, position } = await (await fetch(`jobs/${id}`, { signal })).json();
      if (state !== "unknown" && !signal.aborted) onState({ state, position });
    } catch {
      // It is only news of the picture; whether it comes is seen elsewhere.
    }
  }
}

async function problemOf(body) {
  try {
    return JSON.parse(await body.text());
  } catch {
    return undefined;
  }
}

/** RFC 9211: what our own member of the list says, which names the tier or what a miss took. */
function sourceOf(cacheStatus) {
  return /Cutcache;[^,]*detail=(\w+)/.exec(cacheStatus)?.[1] ?? "inference";
}

function stagesOf(serverTiming) {
  const stages = (serverTiming ?? "").matchAll(/([\w-]+);dur=([\d.]+)/g);
  return Array.from(stages, ([, name, ms]) => ({ name, ms: Number(ms) }));
}

function cameFromBrowser(address) {
  const timing = performance.getEntriesByName(address.href).at(-1);
  performance.clearResourceTimings();
  return timing?.transferSize === 0 && timing.decodedBodySize > 0;
}

/** RFC 9562, version 4; `crypto.randomUUID` is missing where the page came over plain http. */
function randomUuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = bytes[6] & 0x0f | 0x40;
  bytes[8] = bytes[8] & 0x3f | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
