import { configure, getStreamSink, getTextFormatter, type LogRecord } from "@logtape/logtape";

export type LogLevel = "debug" | "info" | "warning" | "error";

export interface LoggingOptions {
  /** `text`: readable lines; `json`: one JSON object a line. */
  format: "text" | "json";
  level: LogLevel;
  /** The ids of the active span, added to every line. */
  spanIds: () => { trace_id: string; span_id: string } | undefined;
}

/** Sends all logs to standard output. */
export async function configureLogging({ format, level, spanIds }: LoggingOptions): Promise<void> {
  const formatter = format === "json" ? jsonLine(spanIds) : textLine(spanIds);
  await configure({
    sinks: { stdout: getStreamSink(Deno.stdout.writable, { formatter }) },
    loggers: [
      { category: "cutcache", lowestLevel: level, sinks: ["stdout"] },
      { category: ["logtape", "meta"], lowestLevel: "warning", sinks: ["stdout"] },
    ],
  });
}

/** `bare` prints strings without quotes and escapes their control characters, so that one event stays on one line. */
function textLine(spanIds: LoggingOptions["spanIds"]) {
  return getTextFormatter({
    timestamp: "time",
    level: "full",
    value: "bare",
    format: ({ timestamp, level, message, record: { properties: { request_id, job_id } } }) => {
      const ids = Object.entries({ request_id, job_id, trace_id: spanIds()?.trace_id }).filter(([, id]) =>
        id !== undefined
      );
      return `${timestamp} ${level}${ids.map(([name, id]) => ` ${name}: ${id}`).join("")} ${message}`;
    },
  });
}

const message = getTextFormatter({ value: "bare", format: ({ message }) => message });

function jsonLine(spanIds: LoggingOptions["spanIds"]) {
  return (record: LogRecord): string => {
    const { timestamp, level, properties } = record;
    const time = new Date(timestamp).toISOString();
    return JSON.stringify({ time, level, message: message(record).trimEnd(), ...properties, ...spanIds() }) + "\n";
  };
}
