/** `/docs`: the routes as a page for people, without scripts. Made from the same table as the OpenAPI document. */

import type { FastifyInstance } from 'fastify';
import * as z from 'zod';
import type { ServerContext } from '../context.ts';
import type { Flavour } from './problem-shapes.ts';
import type { Route } from './route.ts';

const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[sign] ?? sign);

const titles: { readonly [F in Flavour]: string } = {
  own: 'Jobs',
  openai: "OpenAI's images API",
  a1111: "A1111's API",
  comfyui: "ComfyUI's API",
  gemini: "Gemini's images",
};

interface Property {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Property[];
  readonly description?: string;
  readonly default?: unknown;
}

/** `text`, `whole number`, `one of a, b`. */
function typeOf({ type, enum: values, anyOf, ...rest }: Property): string {
  if (values) return values.map((value) => JSON.stringify(value)).join(' | ');
  if (anyOf) return [...new Set(anyOf.map(typeOf))].join(' | ');
  return type === undefined ? ('properties' in rest ? 'object' : 'any') : String(type);
}

/** A table of the fields of a body or a query. */
function fieldsOf(title: string, schema: z.ZodType | undefined): string {
  if (!schema) return '';
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as {
    readonly properties?: Readonly<Record<string, Property>>;
    readonly required?: readonly string[];
  };
  const rows = Object.entries(properties).map(([name, property]) => {
    const notes = [
      required.includes(name) ? 'required' : '',
      property.default === undefined ? '' : `default ${JSON.stringify(property.default)}`,
      property.description ?? '',
    ].filter(Boolean);
    return `<tr><td><code>${escaped(name)}</code><td>${escaped(typeOf(property))}<td>${escaped(notes.join('; '))}`;
  });
  return rows.length === 0 ? '' : `<h4>${title}</h4><table>${rows.join('')}</table>`;
}

function routeHtml({ method, path, summary, body, query, open }: Route): string {
  const parts = [fieldsOf('Query', query), fieldsOf('Body', body)].join('');
  const head = `<b class="${method.toLowerCase()}">${method}</b> <code>${escaped(path)}</code> ${escaped(summary)}`;
  return `<details><summary>${head}</summary>${open ? '<p>Needs no key.</p>' : ''}${parts || '<p>No fields.</p>'}</details>`;
}

const style = `:root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}body{max-width:62rem;margin:2rem auto;padding:0 1rem}
details{border-top:1px solid #8884;padding:.4rem 0}summary{cursor:pointer}table{border-collapse:collapse;width:100%;margin:.3rem 0 1rem}
td{border-top:1px solid #8883;padding:.15rem .6rem .15rem 0;vertical-align:top;overflow-wrap:anywhere}h4{margin:.6rem 0 0}
b{display:inline-block;min-width:4rem}.get{color:#1a7f37}.post{color:#0969da}.delete{color:#cf222e}@media (prefers-color-scheme:dark){.get{color:#3fb950}.post{color:#58a6ff}.delete{color:#ff7b72}}`;

/** The page's text. */
export function apiPage(routes: readonly Route[], version: string, base = ''): string {
  const groups = (Object.keys(titles) as Flavour[]).map((flavour) => {
    const own = routes.filter((route) => route.flavour === flavour);
    return own.length === 0 ? '' : `<h2>${titles[flavour]}</h2>${own.map(routeHtml).join('')}`;
  });
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>stable-diffusion-ts: API</title><style>${style}</style><h1>stable-diffusion-ts ${escaped(version)}</h1>
<p>For programs: <a href="${escaped(base)}/openapi.json">OpenAPI 3.1</a>. A key is sent as <code>Authorization: Bearer KEY</code>.</p>
<pre>curl -s ORIGIN${escaped(base)}/api/v1/jobs -H 'content-type: application/json' -d '{"prompt":"grinning face"}'</pre>${groups.join('')}</html>`;
}

export function serveApiPage(app: FastifyInstance, routes: readonly Route[], { version, base }: ServerContext): void {
  const page = apiPage(routes, version, base);
  app.get('/docs', async (_request, reply) => reply.type('text/html; charset=utf-8').send(page));
}
