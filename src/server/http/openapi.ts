/** The OpenAPI 3.1 document, made from the table of routes and their schemas. */

import * as z from 'zod';
import type { Flavour } from './problem-shapes.ts';
import type { Route } from './route.ts';

type Json = Record<string, unknown>;

/** File fields are declared as binary. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const made = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      if (zodSchema instanceof z.ZodCustom) Object.assign(jsonSchema, { type: 'string', format: 'binary' });
    },
  }) as Json;
  const { $schema: _schema, ...rest } = made;
  return rest;
}

const tags: { readonly [F in Flavour]: string } = {
  a1111: 'A1111',
  openai: 'OpenAI',
  gemini: 'Gemini',
  comfyui: 'ComfyUI',
  own: 'Jobs',
};

const errorSchemas: { readonly [F in Exclude<Flavour, 'comfyui'>]: Json } = {
  a1111: {
    type: 'object',
    properties: { detail: {}, error: { type: 'string' }, body: { type: 'string' }, errors: { type: 'string' } },
  },
  openai: {
    type: 'object',
    required: ['error'],
    properties: {
      error: {
        type: 'object',
        required: ['message', 'type', 'param', 'code'],
        properties: {
          message: { type: 'string' },
          type: { type: 'string' },
          param: { type: ['string', 'null'] },
          code: { type: ['string', 'null'] },
        },
      },
    },
  },
  gemini: {
    type: 'object',
    required: ['error'],
    properties: {
      error: {
        type: 'object',
        required: ['code', 'message', 'status'],
        properties: { code: { type: 'integer' }, message: { type: 'string' }, status: { type: 'string' } },
      },
    },
  },
  own: {
    type: 'object',
    required: ['error'],
    properties: {
      error: {
        type: 'object',
        required: ['code', 'message'],
        properties: { code: { type: 'string' }, message: { type: 'string' }, issues: { type: 'array' } },
      },
    },
  },
};

function parametersOf(route: Route): Json[] {
  const places: readonly (readonly ['path' | 'query', z.ZodType | undefined])[] = [
    ['path', route.params],
    ['query', route.query],
  ];
  return places.flatMap(([place, schema]) => {
    if (!schema) return [];
    const { properties = {}, required = [] } = schemaOf(schema, 'input') as {
      properties?: Record<string, Json>;
      required?: string[];
    };
    return Object.entries(properties).map(([name, type]) => ({
      name,
      in: place,
      required: place === 'path' || required.includes(name),
      schema: type,
    }));
  });
}

function contentOf({ response, responseType }: Route): Json {
  if (responseType) return { [responseType]: { schema: { type: 'string' } } };
  return { 'application/json': { schema: response ? schemaOf(response, 'output') : {} } };
}

function operationOf(route: Route): Json {
  const { flavour, body, responseType, status = 200, form, open } = route;
  // ComfyUI refuses in three forms: JSON of the error, a line of text, or nothing.
  const error = (description: string): Json =>
    flavour === 'comfyui'
      ? { description }
      : { description, content: { 'application/json': { schema: errorSchemas[flavour] } } };
  const parameters = parametersOf(route);
  const done: Json = { description: 'Done', ...(responseType === 'none' ? {} : { content: contentOf(route) }) };
  const bodySchema = body && schemaOf(body, 'input');
  return {
    tags: [tags[flavour]],
    summary: route.summary,
    operationId: `${route.method.toLowerCase()}${route.path.replace(/[^a-z0-9]+(.)?/gi, (_, next: string | undefined) => (next ?? '').toUpperCase())}`,
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(bodySchema
      ? {
          requestBody: {
            required: true,
            content: {
              'application/json': { schema: bodySchema },
              ...(form ? { 'multipart/form-data': { schema: bodySchema } } : {}),
            },
          },
        }
      : {}),
    ...(open ? { security: [] } : {}),
    responses: {
      [status]: done,
      ...(route.path === '/readyz'
        ? { 503: { ...done, description: 'Not ready' } }
        : { default: error('Refused or failed') }),
      ...(flavour === 'openai' || flavour === 'gemini'
        ? { 400: error('The request is not valid') }
        : { 422: error('The request is not valid') }),
    },
  };
}

/** `base` is the prefix of all paths. */
export function openapiDocument(routes: readonly Route[], version: string, base = ''): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    if (route.alias) continue;
    const path = route.path.replace(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'stable-diffusion-ts',
      version,
      description:
        "A1111's API, OpenAI's images API, ComfyUI's API and the server's own jobs API over the same models.",
      license: { name: 'MIT', identifier: 'MIT' },
    },
    ...(base === '' ? {} : { servers: [{ url: base }] }),
    security: [{ bearer: [] }, { basic: [] }, { key: [] }, {}],
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        basic: { type: 'http', scheme: 'basic' },
        key: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
      },
    },
    paths,
  };
}
