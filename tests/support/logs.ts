import { configure, type LogRecord, reset } from "@logtape/logtape";

/** Runs `use` and collects the log records in the meantime. */
export async function withLogs(use: (logs: LogRecord[]) => Promise<void>): Promise<void> {
  const logs: LogRecord[] = [];
  await configure({
    sinks: { list: (record) => void logs.push(record) },
    loggers: [
      { category: "cutcache", sinks: ["list"] },
      { category: ["logtape", "meta"], lowestLevel: "warning", sinks: ["list"] },
    ],
  });
  try {
    await use(logs);
  } finally {
    await reset();
  }
}
