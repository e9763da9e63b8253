import { html, raw } from "hono/html";
import type { HtmlEscapedString } from "hono/utils/html";
import { createHash } from "node:crypto";
import { errorCodes } from "../../base/errors.ts";
import type { ApiDocument } from "../shared/openapi.ts";
import { curlOf } from "./curl.ts";
import { type Operation, operationsOf, type Parameter, resolve, type Schema } from "./document.ts";
import css from "./page.css" with { type: "text" };

type Html = HtmlEscapedString | Promise<HtmlEscapedString>;

/** The digest of the page's stylesheet in base64, for its Content-Security-Policy. */
export function stylesheetDigest(): string {
  return createHash("sha256").update(css).digest("base64");
}

/** The document as one HTML page without scripts, fonts or images. Its examples call `origin`. */
export function renderDocs(document: ApiDocument, origin: string): Html {
  const operations = operationsOf(document);
  const sections = Map.groupBy(operations, ({ tag }) => tag);
  return html`
    <!DOCTYPE html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>${document.info.title} ${document.info.version}</title>
        <style>${raw(css)}</style>
      </head>
      <body>
        <main>
            <h1>${document.info.title} ${document.info.version}</h1>
            <p>${document.info.description} For programs: <a href="/openapi.json">openapi.json</a>.</p>
            <nav>
              <ul>
                ${operations.map((operation) =>
                  html`<li><a href="#${operation.id}">${heading(operation)}</a> ${operation.summary}</li>`
                )}
              </ul>
            </nav>
            ${[...sections].map(([tag, operations]) =>
              html`<section><h2>${tag}</h2>${
                operations.map((operation) => article(document, operation, origin))
              }</section>`
            )}
            <section><h2>errors</h2>${errors()}</section>
          </main>
      </body>
    </html>
  `;
}

function heading({ method, path }: Operation): Html {
  return html`<span class="method ${method}">${method.toUpperCase()}</span> <code>${path}</code>`;
}

function article(document: ApiDocument, operation: Operation, origin: string): Html {
  const { id, summary, description, parameters, bodies, responses } = operation;
  return html`<article id="${id}">
      <h3>${heading(operation)}</h3>
      <p>${prose([summary, description].filter(Boolean).join(". "))}</p>
      <pre tabindex="0">${curlOf(document, operation, origin)}</pre>
      ${
    parameters.length > 0 && html`<h4>Parameters</h4>${table(["name", "in", "type", "meaning"], parameters.map(row))}`
  }
      ${
    bodies.map(([type, schema]) =>
      html`<h4>Body: <code>${type}</code></h4>${table(["field", "type", "meaning"], fields(document, schema))}`
    )
  }
      <h4>Responses</h4>
      ${
    table(
      ["status", "content", "meaning", "headers"],
      responses.map(({ status, types, description, headers }) => [
        html`${status}`,
        html`${
          types.map((type) =>
            html`
              <code>${type}</code>
            `
          )
        }`,
        prose(description),
        html`${
          headers.map((name) =>
            html`
              <code>${name}</code>
            `
          )
        }`,
      ]),
    )
  }
      ${
    responses.flatMap(({ status, schemas }) =>
      Number(status) >= 300 ? [] : schemas.map(([type, schema]) => {
        const rows = fields(document, schema);
        return rows.length === 0
          ? ""
          : html`<details><summary>Fields of <code>${type}</code></summary>${
            table(["field", "type", "meaning"], rows)
          }</details>`;
      })
    )
  }
    </article>`;

  function row({ name, in: where, required, schema, description }: Parameter): Html[] {
    const type = html`${typeOf(document, schema)}${required ? ", required" : ""}`;
    return [html`<code>${name}</code>`, html`${where}`, type, meaning(schema, description)];
  }
}

function errors(): Html {
  const rows = Object.entries(errorCodes).map(([code, { status, title }]) =>
    html`
      <tr id="${code}">
        <td>${status}</td>
        <td><code>${code}</code></td>
        <td>${prose(title)}</td>
      </tr>
    `
  );
  return html`
    <p>${prose("Errors are `application/problem+json` (RFC 9457), except in APIs with their own error format.")}</p>
    <div class="scroll" tabindex="0">
      <table><tr><th>status</th><th>code</th><th>when</th></tr>${rows}</table>
    </div>
  `;
}

function table(head: string[], rows: Html[][]): Html {
  return html`
    <div class="scroll" tabindex="0">
      <table>
          <tr>${head.map((name) => html`<th>${name}</th>`)}</tr>
          ${rows.map((cells) => html`<tr>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>`)}
        </table>
    </div>
  `;
}

/** A row for each field of an object. Fields of nested objects are named by their path. */
function fields(document: ApiDocument, schema: Schema | undefined, path = "", depth = 0): Html[][] {
  const { properties = {}, required = [] } = resolve(document, schema);
  return Object.entries<Schema>(properties).flatMap(([name, field]) => {
    const type = html`${typeOf(document, field)}${required.includes(name) ? ", required" : ""}`;
    const own = [html`<code>${path}${name}</code>`, type, meaning(field, undefined)];
    const inner = depth < 3 ? fields(document, itemOf(document, field), `${path}${name}.`, depth + 1) : [];
    return [own, ...inner];
  });
}

function itemOf(document: ApiDocument, schema: Schema): Schema {
  const { items, additionalProperties } = resolve(document, schema);
  if (items) return items;
  return typeof additionalProperties === "object" ? additionalProperties : schema;
}

function typeOf(document: ApiDocument, schema: Schema | undefined): string {
  const { type, enum: values, const: only, anyOf, items, minimum, maximum } = resolve(document, schema);
  if (anyOf) return anyOf.map((schema: Schema) => typeOf(document, schema)).join(" or ");
  if (values) return values.map(String).slice(0, 8).join(" | ");
  if (only !== undefined) return String(only);
  const name = items ? `list of ${typeOf(document, items)}` : [type ?? "any"].flat().join(" or ");
  if (minimum !== undefined && maximum !== undefined) return `${name} ${minimum} to ${maximum}`;
  return name;
}

function meaning(schema: Schema, description: string | undefined): Html {
  const fallback = schema.default === undefined ? "" : html`
    Default: <code>${String(schema.default)}</code>.
  `;
  return html`${prose(description ?? schema.description ?? "")}${fallback}`;
}

/** Text with code between backticks. */
function prose(text: string): Html {
  return html`${text.split("`").map((part, index) => index % 2 === 1 ? html`<code>${part}</code>` : part)}`;
}
