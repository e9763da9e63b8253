/** A whole number of base64's groups of three. */
const BASE64_STEP = 3 * 16_384;

/**
 * JSON (UTF-8) with a file in base64 within: `before`, the base64, `after`. It is written piece by piece: as one text it
 * would be in memory thrice.
 */
export function base64Json(before: string, file: Uint8Array, after: string): Uint8Array<ArrayBuffer> {
  const encoder = new TextEncoder();
  const [head, tail] = [encoder.encode(before), encoder.encode(after)];
  const bytes = new Uint8Array(head.length + Math.ceil(file.length / 3) * 4 + tail.length);
  bytes.set(head);
  let to = head.length;
  for (let from = 0; from < file.length; from += BASE64_STEP) {
    const text = file.subarray(from, from + BASE64_STEP).toBase64();
    to += encoder.encodeInto(text, bytes.subarray(to)).written;
  }
  bytes.set(tail, to);
  return bytes;
}
