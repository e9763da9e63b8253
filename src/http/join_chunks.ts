/** In bytes; what is made room for before anything has come, whatever was declared. */
const FIRST_ROOM = 1_048_576;

/**
 * Joins the chunks of a body in one buffer. That is made in the declared length when the first megabyte has come, so that
 * declaring much costs nothing here.
 * @param declared the length in bytes that was announced; NaN where none was.
 * @param accept is told of each chunk before it is kept: its length, and what they come to with it; throws to refuse it.
 */
export async function joinChunks(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  declared: number,
  accept: (bytes: number, total: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  let joined = new Uint8Array(declared >= 0 ? Math.min(declared, FIRST_ROOM) : 65_536);
  let length = 0;
  for await (const chunk of chunks) {
    const total = length + chunk.length;
    accept(chunk.length, total);
    if (total > joined.length) {
      joined = new Uint8Array(
        joined.buffer.transfer(declared >= total ? declared : Math.max(2 * joined.length, total)),
      );
    }
    joined.set(chunk, length);
    length = total;
  }
  return joined.subarray(0, length);
}
