/** Jobs as rows of the journal: the table, its indexes, and a row to a job and back. */

import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';
import { StableDiffusionError } from '../../errors.ts';
import { type Job, type JobRequest, type JobState, priorities, type WorkflowRequest } from '../job.ts';
import { upgradeJobRequest } from '../upgrade-job.ts';
import type { Journal, Row } from './sqlite-journal.ts';

export const jobTable = `
CREATE TABLE IF NOT EXISTS jobs (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, source TEXT NOT NULL, state TEXT NOT NULL,
  priority INTEGER NOT NULL, work REAL NOT NULL, batch TEXT NOT NULL, pictures INTEGER NOT NULL, attempt INTEGER NOT NULL DEFAULT 0,
  request TEXT NOT NULL, result TEXT, error TEXT, created INTEGER NOT NULL, started INTEGER, finished INTEGER,
  place REAL);
CREATE INDEX IF NOT EXISTS jobs_open ON jobs (owner, state) WHERE state IN ('queued', 'running');
CREATE INDEX IF NOT EXISTS jobs_owner ON jobs (owner, seq);
CREATE INDEX IF NOT EXISTS jobs_finished ON jobs (finished) WHERE finished IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_place ON jobs (owner, priority, coalesce(place, seq), seq) WHERE state = 'queued';
CREATE INDEX IF NOT EXISTS jobs_batch ON jobs (batch, priority, seq) WHERE state = 'queued';
`;

/** Brings the table of an earlier version up to date. A new file has none. */
export function updateTable(journal: Journal): void {
  const isThere = journal.count(`SELECT count(*) AS n FROM pragma_table_info('jobs')`) > 0;
  const hasPlace = journal.count(`SELECT count(*) AS n FROM pragma_table_info('jobs') WHERE name = 'place'`) > 0;
  // Jobs once had no place but the order in which they came.
  if (isThere && !hasPlace) journal.exec('DROP INDEX IF EXISTS jobs_turn; ALTER TABLE jobs ADD COLUMN place REAL;');
  // Before fair shares by work they had a start tag in place of the work.
  if (journal.count(`SELECT count(*) AS n FROM pragma_table_info('jobs') WHERE name = 'tag'`) === 0) return;
  journal.exec('DROP INDEX IF EXISTS jobs_order; ALTER TABLE jobs RENAME COLUMN tag TO work;');
  journal.exec('UPDATE jobs SET work = pictures');
}

/** JSON from this length on is compressed: prompts are repeated for each picture of a job. */
const longJson = 4096;

export function packed(value: unknown): string | Uint8Array {
  const json = JSON.stringify(value);
  if (json.length < longJson) return json;
  // The window holds several copies of the longest prompt.
  const params = { [constants.BROTLI_PARAM_QUALITY]: 3, [constants.BROTLI_PARAM_LGWIN]: 22 };
  return new Uint8Array(brotliCompressSync(json, { params }));
}

/** A request with identical prompts merged into one. */
export function packedRequest(request: Job['request']): string | Uint8Array {
  if (request.task === 'workflow') return packed(request);
  const { prompts } = request;
  const [first] = prompts;
  const same = prompts.length > 1 && prompts.every((prompt) => prompt === first);
  return packed(same ? { ...request, prompts: [first], copies: prompts.length } : request);
}

type StoredRequest = (JobRequest & { readonly copies?: number }) | WorkflowRequest;

function unpackedRequest(stored: StoredRequest): Job['request'] {
  if (stored.task === 'workflow') return stored;
  const { copies, ...request } = stored;
  return copies === undefined
    ? request
    : { ...request, prompts: Array.from({ length: copies }, () => request.prompts[0] ?? '') };
}

function unpacked(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return value instanceof Uint8Array ? brotliDecompressSync(value).toString('utf8') : undefined;
}

export interface ReadJob {
  readonly job: Job;
  /** Characters of JSON that were parsed. */
  readonly size: number;
}

const isWhole = (stored: StoredRequest): boolean =>
  stored.task === 'workflow'
    ? typeof stored.prompt === 'string'
    : Array.isArray(stored.prompts) && Array.isArray(stored.seeds);

const text = (value: unknown): string => String(value);

/** Throws `file-corrupt` for a row that holds no job. */
export function readJob(row: Row): ReadJob {
  let size = 0;
  const parsed = <T>(column: string): T | undefined => {
    const json = unpacked(row[column]);
    size += json?.length ?? 0;
    return json === undefined ? undefined : (JSON.parse(json) as T);
  };
  try {
    const stored = upgradeJobRequest(parsed('request')) as StoredRequest | undefined;
    if (!stored || !isWhole(stored)) throw new Error('it has no prompts');
    const request = unpackedRequest(stored);
    const job: Job = {
      id: text(row['id']),
      owner: text(row['owner']),
      source: text(row['source']) as Job['source'],
      priority: priorities[Number(row['priority'])] ?? 'normal',
      request,
      state: text(row['state']) as JobState,
      attempt: Number(row['attempt']),
      createdAt: Number(row['created']),
      ...(row['started'] === null ? {} : { startedAt: Number(row['started']) }),
      ...(row['finished'] === null ? {} : { finishedAt: Number(row['finished']) }),
    };
    const result = parsed<Job['result']>('result');
    const error = parsed<Job['error']>('error');
    return { job: { ...job, ...(result ? { result } : {}), ...(error ? { error } : {}) }, size };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new StableDiffusionError(
      'file-corrupt',
      `The journal's entry of job ${text(row['id']).slice(0, 64)} cannot be read: ${reason}.`,
      { cause },
    );
  }
}
