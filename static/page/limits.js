/**
 * Returns a function that runs at most `max` tasks at once. The others wait in the order in which they came and learn
 * their position whenever it changes; 1 is next. A task whose signal aborts leaves the line at once.
 * @returns {<T>(signal: AbortSignal, task: () => Promise<T>, onPosition?: (position: number) => void) => Promise<T>}
 */
export function concurrencyLimit(max) {
  let free = max;
  const waiting = [];
  const reportPositions = (from = 0) =>
    waiting.slice(from).forEach(({ onPosition }, index) => onPosition?.(from + index + 1));

  const waitForTurn = (signal, onPosition) => {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers();
    const entry = { onPosition, start: resolve };
    waiting.push(entry);
    signal.addEventListener("abort", () => {
      const index = waiting.indexOf(entry);
      if (index === -1) return;
      waiting.splice(index, 1);
      reject(signal.reason);
      reportPositions(index);
    }, { once: true });
    reportPositions(waiting.length - 1);
    return promise;
  };

  return async function limited(signal, task, onPosition) {
    if (free === 0) await waitForTurn(signal, onPosition);
    else free--;
    try {
      signal.throwIfAborted();
      return await task();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next.start();
      reportPositions();
    }
  };
}
