/**
 * JobQueue in one process with a journal in a SQLite file. A job accepted by the jobs API is on the disk before it is answered (WAL,
 * synchronous FULL). One whose caller waits on the line outlives the process, and so does what becomes of any: should the power fail, the
 * caller's line fails with it. Writes that come together share one commit. Jobs that ran when the process died wait again at the next start.
 */

import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import sqlite from 'node-sqlite3-wasm';
import type { Database as SqliteDatabase, JSValue, NormalQueryResult, Statement } from 'node-sqlite3-wasm';
import { StableDiffusionError } from '../../errors.ts';
import { batchKey, type Job, type JobState, type NewJob, priorities } from '../job.ts';
import type { JobControlListener, JobEventListener } from '../job-event.ts';
import { lockDatabase } from './database-lock.ts';
import { createFairShare } from './fair-share.ts';
import type { Admission, JobQueue } from './queue.ts';

export interface SqliteQueueOptions {
  /** The file; its folder is made. */
  readonly path: string;
  /** How often a job is begun before it has failed. */
  readonly attempts: number;
  readonly now?: () => number;
}

const schema = `
CREATE TABLE IF NOT EXISTS jobs (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, source TEXT NOT NULL, state TEXT NOT NULL,
  priority INTEGER NOT NULL, tag REAL NOT NULL, batch TEXT NOT NULL, pictures INTEGER NOT NULL, attempt INTEGER NOT NULL DEFAULT 0,
  request TEXT NOT NULL, result TEXT, error TEXT, created INTEGER NOT NULL, started INTEGER, finished INTEGER);
CREATE INDEX IF NOT EXISTS jobs_order ON jobs (priority, tag, seq) WHERE state = 'queued';
CREATE INDEX IF NOT EXISTS jobs_open ON jobs (owner, state) WHERE state IN ('queued', 'running');
CREATE INDEX IF NOT EXISTS jobs_owner ON jobs (owner, seq);
CREATE INDEX IF NOT EXISTS jobs_finished ON jobs (finished) WHERE finished IS NOT NULL;
`;

type Row = NormalQueryResult;
const text = (value: unknown): string => String(value);
const parsed = <T>(value: unknown): T | undefined => (typeof value === 'string' ? (JSON.parse(value) as T) : undefined);

function jobOf(row: Row): Job {
  const request = parsed<Job['request']>(row['request']);
  if (!request)
    throw new StableDiffusionError('file-corrupt', `The journal has no request for job ${text(row['id'])}.`);
  const result = parsed<Job['result']>(row['result']);
  const error = parsed<Job['error']>(row['error']);
  return {
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
    ...(result ? { result } : {}),
    ...(error ? { error } : {}),
  };
}

function openDatabase(path: string): SqliteDatabase {
  const database = new sqlite.Database(path);
  // A WAL without shared memory, which this build has not, needs the exclusive mode.
  for (const pragma of ['locking_mode = EXCLUSIVE', 'journal_mode = WAL', 'synchronous = FULL'])
    database.get(`PRAGMA ${pragma}`);
  database.exec(schema);
  return database;
}

/** Statements stay prepared. One that failed is prepared anew: it would fail once more for what is over. */
function createStatements(db: SqliteDatabase): {
  use<T>(sql: string, work: (statement: Statement) => T): T;
  close(): void;
} {
  const known = new Map<string, Statement>();
  const drop = (sql: string, statement: Statement): void => {
    known.delete(sql);
    try {
      statement.finalize();
    } catch {
      // says again what the statement failed with
    }
  };
  return {
    use(sql, work) {
      const statement = known.get(sql) ?? db.prepare(sql);
      known.set(sql, statement);
      try {
        return work(statement);
      } catch (error) {
        drop(sql, statement);
        throw error;
      }
    },
    close() {
      for (const [sql, statement] of known) drop(sql, statement);
    },
  };
}

const busy = (scope: 'queue' | 'caller', waiting: number): StableDiffusionError => {
  const message =
    scope === 'queue'
      ? `${waiting} jobs wait already; there is no room for more now.`
      : `You have ${waiting} jobs that wait or run; wait until some are finished.`;
  return new StableDiffusionError('busy', `${message} Try again later.`, { details: { scope } });
};

/** Opens or creates the journal. Throws `file-access` where another process has it open. */
export function openSqliteQueue({ path, attempts, now = Date.now }: SqliteQueueOptions): JobQueue {
  mkdirSync(dirname(path), { recursive: true });
  const unlock = lockDatabase(path);
  const db = openDatabase(path);
  const statements = createStatements(db);
  // To its end, as a query left in the midst keeps the journal from being folded into the file.
  const all = (sql: string, values: JSValue[] = []): Row[] =>
    statements.use(sql, (statement) => statement.all(values) as Row[]);
  const one = (sql: string, values: JSValue[] = []): Row | undefined => all(sql, values)[0];
  const run = (sql: string, values: JSValue[] = []): number =>
    statements.use(sql, (statement) => statement.run(values).changes);
  const count = (sql: string, values: JSValue[] = []): number => Number(one(sql, values)?.['n'] ?? 0);

  const listeners = new Set<JobEventListener>();
  const controllers = new Set<JobControlListener>();
  const emitState = (job: Job): void => {
    for (const listener of listeners) listener({ kind: 'state', id: job.id, job });
  };
  const find = (id: string): Job | undefined => {
    const row = one('SELECT * FROM jobs WHERE id = ?', [id]);
    return row && jobOf(row);
  };
  /** The job that a statement changed, as it is then; undefined where it found none. */
  const changed = (sql: string, values: JSValue[]): Job | undefined => {
    const row = one(`${sql} RETURNING *`, values);
    return row && jobOf(row);
  };

  // What ran when the process died is begun anew, or given up where it may be the job that kills.
  run(`UPDATE jobs SET state = 'failed', finished = ?, error = ? WHERE state = 'running' AND attempt >= ?`, [
    now(),
    JSON.stringify({ code: 'engine-failed', message: `The server ended ${attempts} times while it made this job.` }),
    attempts,
  ]);
  run(`UPDATE jobs SET state = 'queued', started = NULL WHERE state = 'running'`);
  const ends = all(
    `SELECT owner, max(tag + pictures) AS tagEnd, min(tag) AS tag FROM jobs WHERE state = 'queued' GROUP BY owner`,
  );
  const fair = createFairShare({
    ...(ends.length > 0 ? { time: Math.min(...ends.map((row) => Number(row['tag']))) } : {}),
    ends: ends.map((row) => [text(row['owner']), Number(row['tagEnd'])] as const),
  });

  // Writes of one turn of the event loop share a commit, and so a flush to the disk.
  let waiting: {
    readonly work: () => unknown;
    readonly durable: boolean;
    readonly settle: (outcome: { value: unknown } | { error: unknown }) => void;
  }[] = [];
  let flushing: 'FULL' | 'NORMAL' = 'FULL';
  let closed = false;
  const flush = (): void => {
    const group = waiting;
    waiting = [];
    if (group.length === 0) return;
    const outcomes: ({ value: unknown } | { error: unknown })[] = [];
    try {
      // Without a flush a commit survives the end of the process, and of the machine once a later one is flushed.
      const synchronous = group.some(({ durable }) => durable) ? 'FULL' : 'NORMAL';
      if (synchronous !== flushing) db.exec(`PRAGMA synchronous = ${synchronous}`);
      flushing = synchronous;
      db.exec('BEGIN IMMEDIATE');
      for (const { work } of group) {
        try {
          outcomes.push({ value: work() });
        } catch (error) {
          if (!(error instanceof StableDiffusionError)) throw error;
          outcomes.push({ error });
        }
      }
      db.exec('COMMIT');
    } catch (cause) {
      try {
        if (db.inTransaction) db.exec('ROLLBACK');
      } catch {
        // the failed commit has rolled back by itself
      }
      const error = new StableDiffusionError(
        'file-access',
        'The journal of jobs could not be written. The disk may be full.',
        { cause },
      );
      for (const { settle } of group) settle({ error });
      return;
    }
    for (const [i, { settle }] of group.entries()) settle(outcomes[i] ?? { value: undefined });
  };
  const write = <T>(work: () => T, durable = true): Promise<T> => {
    if (closed)
      return Promise.reject(
        new StableDiffusionError('busy', 'The server is shutting down.', { details: { scope: 'shutdown' } }),
      );
    return new Promise<T>((resolve, reject) => {
      if (waiting.length === 0) setImmediate(flush);
      waiting.push({
        work,
        durable,
        settle: (outcome) => ('error' in outcome ? reject(outcome.error) : resolve(outcome.value as T)),
      });
    });
  };

  const takers = new Set<() => void>();
  const wake = (): void => {
    for (const taker of takers) taker();
  };

  const insert = (job: NewJob, admission: Admission): Job => {
    const known = find(job.id);
    if (known) return known;
    const queued = count(`SELECT count(*) AS n FROM jobs WHERE state = 'queued'`);
    if (queued >= admission.queueLength) throw busy('queue', queued);
    const open = count(`SELECT count(*) AS n FROM jobs WHERE owner = ? AND state IN ('queued', 'running')`, [
      job.owner,
    ]);
    if (open >= admission.queuePerCaller) throw busy('caller', open);
    if (queued === 0) fair.reset();
    const pictures = job.request.prompts.length;
    return changed(
      'INSERT INTO jobs (id, owner, source, state, priority, tag, batch, pictures, request, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
      [
        job.id,
        job.owner,
        job.source,
        'queued',
        priorities.indexOf(job.priority),
        fair.tag(job.owner, pictures),
        batchKey(job),
        pictures,
        JSON.stringify(job.request),
        now(),
      ],
    ) as Job;
  };

  const takeNow = (pictures: number): Job[] => {
    const first = one(`SELECT * FROM jobs WHERE state = 'queued' ORDER BY priority, tag, seq LIMIT 1`);
    if (!first) return [];
    const others = all(
      `SELECT * FROM jobs WHERE state = 'queued' AND batch = ? AND id <> ? ORDER BY priority, tag, seq LIMIT ?`,
      [text(first['batch']), text(first['id']), pictures],
    );
    let room = pictures - Number(first['pictures']);
    const taken = [
      first,
      ...others.filter((row) => {
        const fits = Number(row['pictures']) <= room;
        if (fits) room -= Number(row['pictures']);
        return fits;
      }),
    ];
    fair.taken(Number(first['tag']));
    return taken.map(
      (row) =>
        changed(`UPDATE jobs SET state = 'running', attempt = attempt + 1, started = ? WHERE id = ?`, [
          now(),
          text(row['id']),
        ]) as Job,
    );
  };

  /** Changes a job that its taker still holds. Says whether it does. */
  const finish = async (job: Job, change: string, values: JSValue[] = []): Promise<boolean> => {
    // Forgotten with the power of the machine, it would be made again: the same picture, of the same seed.
    const finished = await write(
      () =>
        changed(`UPDATE jobs SET ${change} WHERE id = ? AND state = 'running' AND attempt = ?`, [
          ...values,
          job.id,
          job.attempt,
        ]),
      false,
    );
    if (!finished) return false;
    emitState(finished);
    if (finished.state === 'queued') wake();
    return true;
  };

  return {
    async add(job, admission) {
      const added = await write(() => insert(job, admission), job.source === 'jobs');
      wake();
      return added;
    },
    async get(id) {
      return find(id);
    },
    async list({ owner, state, before, limit }) {
      const seq =
        before === undefined
          ? Number.MAX_SAFE_INTEGER
          : Number(one('SELECT seq FROM jobs WHERE id = ?', [before])?.['seq'] ?? 0);
      const rows = state
        ? all('SELECT * FROM jobs WHERE owner = ? AND seq < ? AND state = ? ORDER BY seq DESC LIMIT ?', [
            owner,
            seq,
            state,
            limit,
          ])
        : all('SELECT * FROM jobs WHERE owner = ? AND seq < ? ORDER BY seq DESC LIMIT ?', [owner, seq, limit]);
      return rows.map(jobOf);
    },
    async counts() {
      return {
        queued: count(`SELECT count(*) AS n FROM jobs WHERE state = 'queued'`),
        running: count(`SELECT count(*) AS n FROM jobs WHERE state = 'running'`),
      };
    },
    async cancel(id) {
      const cancelled = await write(() =>
        changed(`UPDATE jobs SET state = 'cancelled', finished = ? WHERE id = ? AND state IN ('queued', 'running')`, [
          now(),
          id,
        ]),
      );
      if (!cancelled) return find(id);
      for (const controller of controllers) controller(id, 'cancel');
      emitState(cancelled);
      return cancelled;
    },
    take({ pictures, signal }) {
      return new Promise((resolve, reject) => {
        let busyTaking = false;
        const end = (): void => {
          takers.delete(attempt);
          signal.removeEventListener('abort', attempt);
        };
        const attempt = (): void => {
          if (busyTaking) return;
          if (signal.aborted || closed) {
            end();
            resolve([]);
            return;
          }
          if (!one(`SELECT 1 FROM jobs WHERE state = 'queued' LIMIT 1`)) return;
          busyTaking = true;
          // Nothing is lost where the machine forgets this: the job waits again.
          write(() => takeNow(pictures), false).then(
            (jobs) => {
              busyTaking = false;
              if (jobs.length === 0) {
                attempt();
                return;
              }
              end();
              for (const job of jobs) emitState(job);
              resolve(jobs);
            },
            (error: unknown) => {
              end();
              reject(error);
            },
          );
        };
        takers.add(attempt);
        signal.addEventListener('abort', attempt);
        attempt();
      });
    },
    complete(job, result) {
      return finish(job, `state = 'done', result = ?, finished = ?`, [JSON.stringify(result), now()]);
    },
    fail(job, error, { retry }) {
      if (retry && job.attempt < attempts) return finish(job, `state = 'queued', started = NULL`);
      return finish(job, `state = 'failed', error = ?, finished = ?`, [JSON.stringify(error), now()]);
    },
    async release(job) {
      await finish(job, `state = 'queued', attempt = attempt - 1, started = NULL`);
    },
    send(id, control) {
      for (const controller of controllers) controller(id, control);
    },
    onControl(listener) {
      controllers.add(listener);
      return () => controllers.delete(listener);
    },
    publish(event) {
      for (const listener of listeners) listener(event);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async ready() {
      return !closed && db.isOpen;
    },
    prune(before) {
      return write(() => run('DELETE FROM jobs WHERE finished < ?', [before]));
    },
    async close() {
      if (closed) return;
      flush();
      closed = true;
      wake();
      statements.close();
      db.close();
      unlock();
    },
  };
}
