/** The items of a comma-separated list, trimmed and without empty ones: a setting or a list field (RFC 9110, section 5.6.1). */
export function splitList(text: string): string[] {
  return text.split(",").map((item) => item.trim()).filter(Boolean);
}
