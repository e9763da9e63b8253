import type { ApiDocument } from "../shared/openapi.ts";
import { type Operation, resolve, type Schema } from "./document.ts";

/** The shell inserts the digest of the file that the other examples send. */
const DIGEST_OF_PHOTO = "$(sha256sum photo.jpg | cut -d' ' -f1)";

/** A shell command that calls an operation with its required parameters, built from the schemas' examples. */
export function curlOf(document: ApiDocument, operation: Operation, origin: string): string {
  const { method, parameters, bodies, secured, responses } = operation;
  const required = parameters.filter(({ required }) => required);
  let path = operation.path;
  for (const { name, in: where, schema } of required) {
    if (where !== "path") continue;
    const value = name === "image" ? DIGEST_OF_PHOTO : encodeURIComponent(`${example(document, schema)}`);
    path = path.replace(`{${name}}`, value);
  }
  const query = required.filter(({ in: where }) => where === "query").map(({ name, schema }) =>
    `${name}=${encodeURIComponent(`${example(document, schema)}`)}`
  ).join("&");
  const [body] = bodies;
  const words = ["curl"];
  if (method !== "get" && body === undefined) words.push("-X", method.toUpperCase());
  if (secured) words.push("-H", '"Authorization: Bearer $ADMIN_TOKEN"');
  if (body?.[0] === "multipart/form-data") {
    for (const [name, value] of Object.entries(example(document, body[1]) as Schema)) {
      words.push("-F", quoted(`${name}=${value}`));
    }
  } else if (body !== undefined && resolve(document, body[1]).format === "binary") {
    words.push("--data-binary", "@photo.jpg");
  } else if (body !== undefined) {
    words.push("-H", quoted(`Content-Type: ${body[0]}`), "-d", quoted(JSON.stringify(example(document, body[1]))));
  }
  const returnsImage = responses.some(({ status, types }) => status === "200" && types[0]?.startsWith("image/"));
  if (returnsImage) words.push("-o", "cutout.png");
  const url = `${origin}${path}${query && `?${query}`}`;
  words.push(url.includes("$(") ? `"${url}"` : quoted(url));
  return words.join(" ");
}

/** A value that the schema allows: its example if it has one, or an object's required fields. */
function example(document: ApiDocument, reference: Schema): unknown {
  const schema = resolve(document, reference);
  if (schema.example !== undefined) return schema.example;
  if (schema.examples !== undefined) return schema.examples[0];
  if (schema.default !== undefined) return schema.default;
  if (schema.enum) return schema.enum[0];
  if (schema.type === "object") {
    const fields = Object.entries<Schema>(schema.properties ?? {}).filter(([name]) => schema.required?.includes(name));
    return Object.fromEntries(fields.map(([name, field]) => [name, example(document, field)]));
  }
  if (schema.format === "binary") return "@photo.jpg";
  return schema.type === "integer" || schema.type === "number" ? schema.minimum ?? 0 : "…";
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
