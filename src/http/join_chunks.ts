/** The maximum size of the buffer before the first chunk has arrived, in bytes. */
const MAX_INITIAL_BYTES = 1_048_576;

/**
 * Joins the chunks of a body in one buffer. The buffer gets the declared length only when the first megabyte has arrived,
 * so that a large declared length alone costs no memory.
 * @param declared the declared length in bytes; NaN if there is none.
 * @param accept called before each chunk is kept, with its length and the total length so far including it, in bytes.
 *   It throws to refuse the chunk.
 */
export async function joinChunks(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  declared: number,
  accept: (bytes: number, total: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  let joined = new Uint8Array(declared >= 0 ? Math.min(declared, MAX_INITIAL_BYTES) : 65_536);
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
