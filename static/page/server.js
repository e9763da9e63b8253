/*
 * The page's requests to the server; /docs describes its API. Addresses are relative, so that the page also works under
 * a path of a proxy.
 */

const TOKEN_KEY = "token";

/** The access token. If the browser blocks storage, it lasts only until the page is left. */
let token = tryStorage(() => sessionStorage.getItem(TOKEN_KEY));

/** The pause between two progress requests grows from the first value to the last. */
const FIRST_POLL_MS = 100;
const LAST_POLL_MS = 500;

/** The server answered with an error: problem details (RFC 9457), or an answer of a proxy that has none. */
export class ProblemError extends Error {
  name = "ProblemError";
  constructor(status, { code, detail, request_id: requestId } = {}, retryAfter) {
    super(detail ?? `HTTP status ${status}`);
    const retrySeconds = retryAfter === null ? undefined : Number(retryAfter);
    Object.assign(this, { status, code, requestId, retrySeconds, tokenSent: Boolean(token) });
  }
}

/** The server did not answer. */
export class NetworkError extends Error {
  name = "NetworkError";
}

/**
 * @typedef {object} Cutout
 * @property {Blob} file
 * @property {string} source memory, sqlite, redis, mask, inference or browser
 * @property {{name: string, ms: number}[]} stages of the server's work
 * @property {string | undefined} digest of the picture, if the server sent it
 */

/**
 * Asks for a cutout by the digest of its picture, without an upload.
 * @returns {Promise<Cutout | undefined>} undefined if the server would need the picture.
 * @throws {ProblemError | NetworkError}
 */
export async function findCutout(digest, query, signal) {
  const address = new URL(withQuery(`cutouts/${digest}`, query), document.baseURI);
  let response;
  try {
    // Without this preference the server answers a miss with 404, which browsers report as an error on the console.
    response = await fetch(address, { signal, headers: { ...authorization(), Prefer: "handling=lenient" } });
    if (response.status === 204) return undefined;
    if (response.ok) {
      const file = await response.blob();
      const source = cameFromBrowserCache(address) ? "browser" : sourceOf(response.headers.get("Cache-Status"));
      return { file, source, stages: stagesOf(response.headers.get("Server-Timing")), digest };
    }
  } catch (error) {
    throw signal.aborted ? signal.reason : new NetworkError(error.message);
  }
  throw new ProblemError(response.status, await parseProblem(response), response.headers.get("Retry-After"));
}

/**
 * Uploads a picture and waits for its cutout. `onState` first receives `{state: "uploading", fraction}` (0 to 1), then
 * the picture's progress on the server: `{state, position}`.
 * @returns {Promise<Cutout>}
 * @throws {ProblemError | NetworkError}
 */
export async function uploadPicture(file, background, query, { signal, onState }) {
  const id = randomUuid();
  const answered = new AbortController();
  onState({ state: "uploading", fraction: 0 });
  try {
    const request = await post(withQuery("cutouts", query), bodyOf(file, background), {
      signal,
      headers: { ...authorization(), "X-Request-Id": id },
      onProgress: (fraction) => onState({ state: "uploading", fraction }),
      onSent: () => {
        onState({ state: "waiting" });
        pollProgress(id, onState, AbortSignal.any([signal, answered.signal]));
      },
    });
    const header = (name) => request.getResponseHeader(name);
    if (request.status !== 200) {
      throw new ProblemError(request.status, await parseProblem(request.response), header("Retry-After"));
    }
    return {
      file: request.response,
      source: sourceOf(header("Cache-Status")),
      stages: stagesOf(header("Server-Timing")),
      digest: /\/cutouts\/([0-9a-f]{64})/.exec(header("Location"))?.[1],
    };
  } finally {
    answered.abort();
  }
}

/** Sends this access token from now on. It is stored until the tab is closed. */
export function setToken(newToken) {
  token = newToken;
  tryStorage(() => sessionStorage.setItem(TOKEN_KEY, newToken));
}

function authorization() {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** Browsers that block storage throw on any access to it. */
function tryStorage(access) {
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
  // The server detects the format itself, but refuses a body of another type, such as text/plain, without looking at it.
  if (background === undefined) return new Blob([file], { type: "application/octet-stream" });
  const form = new FormData();
  form.set("file", file);
  form.set("background_image", background);
  return form;
}

/** Uses XMLHttpRequest because fetch does not report upload progress. */
function post(address, body, { signal, headers, onProgress, onSent }) {
  const { promise, resolve, reject } = Promise.withResolvers();
  const request = new XMLHttpRequest();
  request.open("POST", address);
  for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
  request.responseType = "blob";
  request.upload.onprogress = ({ loaded, total }) => onProgress(total === 0 ? 0 : loaded / total);
  request.upload.onload = onSent;
  request.onload = () => resolve(request);
  request.onerror = () => reject(new NetworkError("the connection failed"));
  request.onabort = () => reject(signal.reason);
  const abort = () => request.abort();
  signal.addEventListener("abort", abort);
  request.onloadend = () => signal.removeEventListener("abort", abort);
  if (signal.aborted) reject(signal.reason);
  else request.send(body);
  return promise;
}

async function pollProgress(id, onState, signal) {
  for (let pauseMs = FIRST_POLL_MS; !signal.aborted; pauseMs = Math.min(LAST_POLL_MS, 1.5 * pauseMs)) {
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    if (signal.aborted) return;
    try {
      const { state, position } = await (await fetch(`jobs/${id}`, { signal })).json();
      if (state !== "unknown" && !signal.aborted) onState({ state, position });
    } catch {
      // Progress is optional; the upload itself reports success or failure.
    }
  }
}

/** The problem details, or undefined if the body is something else, such as a proxy's HTML. */
async function parseProblem(body) {
  try {
    return JSON.parse(await body.text());
  } catch {
    return undefined;
  }
}

/** `Cache-Status` (RFC 9211) may list several caches; our entry's `detail` is the tier of a hit or the work of a miss. */
function sourceOf(cacheStatus) {
  return /Cutcache;[^,]*detail=(\w+)/.exec(cacheStatus)?.[1] ?? "inference";
}

function stagesOf(serverTiming) {
  const stages = (serverTiming ?? "").matchAll(/([\w-]+);dur=([\d.]+)/g);
  return Array.from(stages, ([, name, ms]) => ({ name, ms: Number(ms) }));
}

function cameFromBrowserCache(address) {
  const timing = performance.getEntriesByName(address.href).at(-1);
  performance.clearResourceTimings();
  return timing?.transferSize === 0 && timing.decodedBodySize > 0;
}

/** UUID version 4 (RFC 9562). `crypto.randomUUID` is missing on a page loaded over plain http. */
function randomUuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = bytes[6] & 0x0f | 0x40;
  bytes[8] = bytes[8] & 0x3f | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
