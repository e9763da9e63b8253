import { html, raw } from "hono/html";
import type { HtmlEscapedString } from "hono/utils/html";
import { createHash } from "node:crypto";
import { errorCodes } from "../../base/errors.ts";
import { renderOptionNames } from "../../render/options.ts";
import type { ApiDocument } from "../shared/openapi.ts";
import { curlOf } from "./curl.ts";
import { type Operation, operationsOf, type Parameter, resolve, type Schema } from "./document.ts";
import { recipes } from "./recipes.ts";
import css from "./page.css" with { type: "text" };

type Html = HtmlEscapedString | Promise<HtmlEscapedString>;

/** The digest of the page's stylesheet in base64, for its Content-Security-Policy. */
export function stylesheetDigest(): string {
  return createHash("sha256").update(css).digest("base64");
}

/**
 * The document as one HTML page without scripts, fonts or images. Its examples call `origin`. Recipes come first; each
 * operation is folded, and so is everything about errors.
 */
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
          <p>${document.info.description} For programs: <a href="/openapi.json">openapi.json</a>.
              <a href="#options">Options</a>, <a href="#endpoints">endpoints</a>, <a href="#errors">errors</a>.</p>
          <section><h2>Recipes</h2>${recipes.map(({ title, command }) =>
            html`
              <h3>${title}</h3>
              <pre tabindex="0">${command(origin)}</pre>
            `
          )}</section>
          <section id="options"><h2>Options</h2>
              <p>${prose("In the query, the form or the JSON of `/cutouts`, and in `options` of `/predict`.")}</p>
              ${table(["option", "values", "meaning"], optionRows(document, operations))}
            </section>
          <section id="endpoints"><h2>Endpoints</h2>
              ${[...sections].map(([tag, operations]) =>
                html`<h3>${tag}</h3>${operations.map((operation) => article(document, operation, origin))}`
              )}</section>
          <section id="errors"><h2>Errors</h2>${errors()}</section>
        </main>
      </body>
    </html>
  `;
}

/** The options, once for all operations that have them. */
function optionRows(document: ApiDocument, operations: Operation[]): Html[][] {
  const { parameters } = operations.find(({ method, path }) => method === "get" && path === "/cutouts/{image}")!;
  return parameters.filter(({ name }) => isOption(name)).map(({ name, schema, description }) => [
    html`<code>${name}</code>`,
    html`${typeOf(document, schema)}`,
    meaning(schema, description),
  ]);
}

const OPTIONS: ReadonlySet<string> = new Set(renderOptionNames);

function isOption(name: string): boolean {
  return OPTIONS.has(name);
}

function heading({ method, path }: Operation): Html {
  return html`<span class="method ${method}">${method.toUpperCase()}</span> <code>${path}</code>`;
}

function article(document: ApiDocument, operation: Operation, origin: string): Html {
  const { id, summary, description, parameters, bodies, responses } = operation;
  // remove.bg has names of its own for its options.
  const hasOptions = operation.path.startsWith("/cutouts");
  const isShown = (name: string) => !hasOptions || !isOption(name);
  const [successes, failures] = [true, false].map((success) =>
    responses.filter(({ status }) => Number(status) < 400 === success)
  );
  return html`<details id="${id}">
      <summary>${heading(operation)} ${prose(summary)}</summary>
      ${description && html`<p>${prose(description)}</p>`}
      <pre tabindex="0">${curlOf(document, operation, origin)}</pre>
      ${hasOptions && html`<p>The <a href="#options">options</a>, and:</p>`}
      ${
    parameters.some(({ name }) => isShown(name)) &&
    html`<h4>Parameters</h4>${
      table(["name", "in", "type", "meaning"], parameters.filter(({ name }) => isShown(name)).map(row))
    }`
  }
      ${
    bodies.map(([type, schema]) => {
      const rows = fields(document, schema, isShown);
      return html`<h4>Body: <code>${type}</code></h4>${
        rows.length > 0 ? table(["field", "type", "meaning"], rows) : html`<p>The image file.</p>`
      }`;
    })
  }
      <h4>Responses</h4>
      ${responseTable(successes)}
      ${
    successes.flatMap(({ schemas }) =>
      schemas.map(([type, schema]) => {
        const rows = fields(document, schema);
        return rows.length === 0
          ? ""
          : html`<h4>Fields of <code>${type}</code></h4>${table(["field", "type", "meaning"], rows)}`;
      })
    )
  }
      ${
    failures.length > 0 &&
    html`<details><summary>Errors: ${failures.map(({ status }) => status).join(", ")}</summary>${
      responseTable(failures)
    }</details>`
  }
    </details>`;

  function row({ name, in: where, required, schema, description }: Parameter): Html[] {
    const type = html`${typeOf(document, schema)}${required ? ", required" : ""}`;
    return [html`<code>${name}</code>`, html`${where}`, type, meaning(schema, description)];
  }
}

function responseTable(responses: Operation["responses"]): Html {
  const list = (names: string[]) =>
    html`${
      names.map((name) =>
        html`
          <code>${name}</code>
        `
      )
    }`;
  const rows = responses.map(({ status, types, description, headers }) => [
    html`${status}`,
    list(types),
    prose(description),
    list(headers),
  ]);
  return table(["status", "content", "meaning", "headers"], rows);
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
    <details>
      <summary>All error codes</summary>
      <div class="scroll" tabindex="0">
        <table><tr><th>status</th><th>code</th><th>when</th></tr>${rows}</table>
      </div>
    </details>
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
function fields(
  document: ApiDocument,
  schema: Schema | undefined,
  isShown: (name: string) => boolean = () => true,
  path = "",
  depth = 0,
): Html[][] {
  const { properties = {}, required = [] } = resolve(document, schema);
  return Object.entries<Schema>(properties).filter(([name]) => isShown(name)).flatMap(([name, field]) => {
    const type = html`${typeOf(document, field)}${required.includes(name) ? ", required" : ""}`;
    const own = [html`<code>${path}${name}</code>`, type, meaning(field, undefined)];
    const inner = depth < 3 ? fields(document, itemOf(document, field), isShown, `${path}${name}.`, depth + 1) : [];
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
