/**
 * Does at most `count` pieces of work at once; the others wait for their turn, in the order in which they came, and are
 * told their place in line whenever it changes: 1 is the next. Work that is given up leaves the line at once.
 * @returns {<T>(signal: AbortSignal, work: () => Promise<T>, onPlace?: (place: number) => void) => Promise<T>}
 */
export function lanes(count) {
  let free = count;
  const waiting = [];
  const tellPlaces = (from = 0) => waiting.slice(from).forEach(({ onPlace }, i) => onPlace?.(from + i + 1));

  const turn = (signal, onPlace) => {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers();
    const place = { onPlace, begin: resolve };
    waiting.push(place);
    signal.addEventListener("abort", () => {
      const index = waiting.indexOf(place);
      if (index === -1) return;
      waiting.splice(index, 1);
      reject(signal.reason);
      tellPlaces(index);
    }, { once: true });
    tellPlaces(waiting.length - 1);
    return promise;
  };

  return async (signal, work, onPlace) => {
    if (free === 0) await turn(signal, onPlace);
    else free--;
    try {
      signal.throwIfAborted();
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next.begin();
      tellPlaces();
    }
  };
}
