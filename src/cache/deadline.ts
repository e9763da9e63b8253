/** There was no answer in time. */
export class TimeoutError extends Error {}

/**
 * Settles as `work` does, or rejects after `limit()` milliseconds, which may grow meanwhile; `work` is not cancelled.
 * cockatiel's `timeout` policy would not do: its duration is fixed, and its message does not say that the store gave no
 * answer.
 * @param checkMs how often the limit is read; by default once it has passed.
 * @throws {TimeoutError}
 */
export async function inTime<T>(work: Promise<T>, limit: () => number, checkMs = Infinity): Promise<T> {
  const began = performance.now();
  const late = Promise.withResolvers<never>();
  let timer: ReturnType<typeof setTimeout>;
  const wait = (milliseconds: number) => {
    timer = setTimeout(() => {
      const leftMs = limit() - (performance.now() - began);
      if (leftMs >= 1) wait(Math.min(leftMs, checkMs));
      else late.reject(new TimeoutError(`no answer within ${Math.round(limit())} ms`));
    }, milliseconds);
  };
  wait(Math.min(limit(), checkMs));
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer!);
  }
}
