/** Route: one path of the server with its schemas, which validate requests and define the OpenAPI document. */

import type { FastifyRequest } from 'fastify';
import type * as z from 'zod';
import type { Ticket } from '../admission/in-flight.ts';
import type { ServerContext } from '../context.ts';
import type { Limits } from '../limits.ts';
import type { Flavour } from './problem-shapes.ts';

/** A part of a form: a field's text, or a file. */
export type FormPart =
  | { readonly name: string; readonly text: string }
  | { readonly name: string; readonly bytes: Uint8Array; readonly fileName?: string | undefined };

export interface RouteRequest<B, Q, P> {
  readonly body: B;
  readonly query: Q;
  readonly params: P;
  /** The owner of the API key. */
  readonly owner: string;
  /** Resources of the request while it is in progress. */
  readonly ticket: Ticket;
  /** Fires when the client has gone. */
  readonly signal: AbortSignal;
  /** `http://host:port` as the client sees it. */
  readonly origin: string;
  readonly raw: FastifyRequest;
}

export interface ServerEvent {
  readonly event?: string;
  readonly id?: string;
  readonly data: unknown;
}

export type Answer =
  | { readonly json: unknown; readonly status?: number; readonly headers?: Readonly<Record<string, string>> }
  | {
      readonly bytes: Uint8Array;
      readonly mediaType: string;
      readonly status?: number;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** Plain text, or nothing. */
  | { readonly text: string; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  /** Server-sent events, until the iterator ends or the client goes. */
  | { readonly events: AsyncIterable<ServerEvent> };

export interface RouteDefinition<B extends z.ZodType, Q extends z.ZodType, P extends z.ZodType> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** `/api/v1/jobs/:id` */
  readonly path: string;
  readonly summary: string;
  readonly flavour: Flavour;
  readonly body?: B;
  readonly query?: Q;
  readonly params?: P;
  /** Schema of the answer, for the OpenAPI document. */
  readonly response?: z.ZodType;
  /** Media type of an answer that is not JSON; `none` for an answer without a body. */
  readonly responseType?: string;
  readonly status?: number;
  /** The body may be a form, whose fields and files the body schema then sees. */
  readonly form?: (parts: readonly FormPart[]) => unknown;
  /** The body comes as its bytes, whatever its type; undefined without a body. */
  readonly rawBody?: boolean;
  /** The body may carry pictures; others are small. */
  readonly takesPictures?: boolean;
  /** The limit of the body, where it is neither that of pictures nor that of small requests. */
  readonly bodyLimit?: keyof Limits;
  /** Answered without a key. */
  readonly open?: boolean;
  /** The same as another route under a second address: the OpenAPI document leaves it out. */
  readonly alias?: boolean;
  readonly handle: (
    context: ServerContext,
    request: RouteRequest<z.output<B>, z.output<Q>, z.output<P>>,
  ) => Promise<Answer>;
}

/** A route whose types have been checked against its own schemas, for the table of all. */
export interface Route extends Omit<RouteDefinition<z.ZodType, z.ZodType, z.ZodType>, 'handle'> {
  readonly handle: (context: ServerContext, request: RouteRequest<unknown, unknown, unknown>) => Promise<Answer>;
}

export function defineRoute<
  B extends z.ZodType = z.ZodUnknown,
  Q extends z.ZodType = z.ZodUnknown,
  P extends z.ZodType = z.ZodUnknown,
>(route: RouteDefinition<B, Q, P>): Route {
  // The handler is only ever called with what its own schemas gave out.
  return route as unknown as Route;
}

/** An answer without a body. */
export const empty = (status = 200, headers: Readonly<Record<string, string>> = {}): Answer => ({
  text: '',
  status,
  headers,
});

export const json = (value: unknown, status = 200): Answer => ({ json: value, status });
