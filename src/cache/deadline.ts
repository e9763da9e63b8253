/** There was no answer in time. */
export class TimeoutError extends Error {}

/**
 * Settles as `work` does, or rejects after `limit()` milliseconds, which may grow meanwhile; `work` is not cancelled.
 * cockatiel's `timeout` policy would not do: its duration is fixed, and its message does not say that the store gave no
 * answer.
 * @throws {TimeoutError}
 */
export async function inTime<T>(work: Promise<T>, limit: () => number): Promise<T> {
  const began = performance.now();
  const late = Promise.withResolvers<never>();
  let timer: ReturnType<typeof setTimeout>;
  const wait = (milliseconds: number) => {
    timer = setTimeout(() => {
      const leftMs = limit() - (performance.now() - began);
      if (leftMs >= 1) wait(leftMs);
      else late.reject(new TimeoutError(`no answer within ${Math.round(limit())} ms`));
    }, milliseconds);
  };
  wait(limit());
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer!);
  }
}
