/** The hub's HTTP API, as far as models need it: which commit a revision is, and which files it has (https://huggingface.co/docs/hub/api). */

import * as z from 'zod';
import { StableDiffusionError } from '../errors.ts';
import { boundedJson, guardedFetch } from './guarded-fetch-node.ts';
import type { HubFile } from './hub-file.ts';
import type { HubSettings } from './hub-settings.ts';

export interface HubRevision {
  /** 40 hexadecimal digits. */
  readonly commit: string;
  readonly files: readonly HubFile[];
}

const digest = z.string().regex(/^[0-9a-f]{40}(?:[0-9a-f]{24})?$/);
const infoSchema = z.object({ sha: z.string().regex(/^[0-9a-f]{40}$/) });
const treeSchema = z.array(
  z.object({
    type: z.string(),
    path: z.string().max(1000),
    size: z.number().int().min(0).default(0),
    oid: z.string().optional(),
    lfs: z.object({ oid: digest, size: z.number().int().min(0).optional() }).nullish(),
  }),
);
const maximumPages = 50;
/** A page lists a thousand files. */
const maximumBytes = 16 * 2 ** 20;

/** The files of a revision. Throws `not-found`, `forbidden`, `network`. */
export async function hubRevision(
  repository: string,
  revision: string,
  settings: HubSettings,
  signal?: AbortSignal,
): Promise<HubRevision> {
  const base = `${settings.endpoint}/api/models/${repository}`;
  const info = await json(`${base}/revision/${encodeURIComponent(revision)}`, repository, revision, settings, signal);
  const { sha: commit } = checked(infoSchema, info.value, base);
  const files: HubFile[] = [];
  let next: string | undefined = `${base}/tree/${commit}?recursive=true`;
  for (let page = 0; next !== undefined && page < maximumPages; page++) {
    const answer: JsonAnswer = await json(next, repository, revision, settings, signal);
    for (const { type, path, size, oid, lfs } of checked(treeSchema, answer.value, base)) {
      const etag = lfs?.oid ?? oid;
      if (type !== 'file' || etag === undefined || !digest.safeParse(etag).success || !isPlainPath(path)) continue;
      files.push({ path, size: lfs?.size ?? size, etag });
    }
    next = answer.next;
  }
  return { commit, files };
}

/** The address of a file's content. */
export const fileAddress = ({ endpoint }: HubSettings, repository: string, commit: string, path: string): string =>
  `${endpoint}/${repository}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`;

export const authorization = (token: string | undefined): Readonly<Record<string, string>> =>
  token === undefined ? {} : { authorization: `Bearer ${token}` };

/** Names become paths on this machine. */
const isPlainPath = (path: string): boolean =>
  !/[\0\\:]/.test(path) && path.split('/').every((piece) => piece !== '' && piece !== '.' && piece !== '..');

interface JsonAnswer {
  readonly value: unknown;
  readonly next: string | undefined;
}

async function json(
  url: string,
  repository: string,
  revision: string,
  { fetch: ask, token, endpoint }: HubSettings,
  signal: AbortSignal | undefined,
): Promise<JsonAnswer> {
  const limit = AbortSignal.timeout(30_000);
  let response: Response;
  try {
    response = await guardedFetch(ask, url, {
      headers: authorization(token),
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    if (response.ok) {
      const next = nextPage(response.headers.get('link') ?? '');
      return {
        value: await boundedJson(response, maximumBytes, endpoint),
        next: isOf(endpoint, next) ? next : undefined,
      };
    }
  } catch (cause) {
    if (signal?.aborted) throw new StableDiffusionError('aborted', 'The work was cancelled.', { cause });
    if (cause instanceof StableDiffusionError) throw cause;
    throw new StableDiffusionError('network', `${endpoint} could not be reached: ${reasonOf(cause)}.`, { cause });
  }
  throw hubError(response.status, repository, revision, endpoint, token !== undefined);
}

/** Whether an address is one of the hub's own: a key goes along. */
function isOf(endpoint: string, address: string | undefined): boolean {
  return address !== undefined && URL.canParse(address) && new URL(address).origin === new URL(endpoint).origin;
}

/** `fetch` only reports "fetch failed"; the reason is in its cause. */
export function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}

/** Readable messages for HTTP statuses of the hub. */
export function hubError(
  status: number,
  repository: string,
  revision: string,
  endpoint: string,
  hasToken: boolean,
): StableDiffusionError {
  const where = `${repository}${revision === 'main' ? '' : ` at ${revision}`}`;
  if (status === 401 || status === 403)
    return new StableDiffusionError(
      'forbidden',
      hasToken
        ? `${endpoint} refuses ${where} to this token (HTTP ${status}). The model may not exist, or its terms must be accepted on its page first.`
        : `${endpoint} has no public model ${where} (HTTP ${status}). If it is private or has terms to accept, set HF_TOKEN.`,
    );
  if (status === 404)
    return new StableDiffusionError('not-found', `${endpoint} has no model ${where}. Check the name and the revision.`);
  return new StableDiffusionError('network', `${endpoint} answered HTTP ${status} for ${where}. Try again later.`);
}

function checked<T extends z.ZodType>(schema: T, value: unknown, what: string): z.infer<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new StableDiffusionError('network', `The answer of ${what} is not what the hub's API promises.`);
}

/** The address of `rel="next"` in a `Link` header (RFC 8288). */
function nextPage(header: string): string | undefined {
  const link = header.split(',').find((part) => part.includes('rel="next"'));
  const [from, to] = [link?.indexOf('<') ?? -1, link?.indexOf('>') ?? -1];
  return link !== undefined && from >= 0 && to > from ? link.slice(from + 1, to) : undefined;
}
