/**
 * Journal: a SQLite file that one process has open, with prepared statements and writes that share a commit. Writes of one turn of the
 * event loop are one transaction, and so one flush to the disk.
 */

import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import sqlite from 'node-sqlite3-wasm';
import type { Database as SqliteDatabase, JSValue, NormalQueryResult, Statement } from 'node-sqlite3-wasm';
import { StableDiffusionError } from '../../errors.ts';

export type Row = NormalQueryResult;

type Outcome = { readonly value: unknown } | { readonly error: unknown };

interface Write {
  readonly work: () => unknown;
  /** True if the write must survive a crash of the machine. */
  readonly durable: boolean;
  readonly settle: (outcome: Outcome) => void;
}

function damaged(path: string, cause?: unknown): StableDiffusionError {
  const reason = cause instanceof Error ? ` (${cause.message})` : '';
  return new StableDiffusionError(
    'file-corrupt',
    `The journal of jobs ${path} is damaged${reason}. Move it away, together with ${path}-wal, and start again; the jobs in it are then lost.`,
    { cause },
  );
}

/** What SQLite, and the system below it, say where the disk is at fault, and not what is on it. */
const diskMessages = /disk I\/O error|database or disk is full|unable to open|readonly database|^E[A-Z]{3,12}: /;

/** Nothing is wrong with the file: it must not be moved away. */
function notWritten(path: string, cause: unknown): StableDiffusionError {
  return new StableDiffusionError(
    'file-access',
    `The journal of jobs ${path} cannot be written. Check that its disk has room and its folder may be written, and start again.`,
    { cause },
  );
}

/** What went wrong while a journal was opened, in words of ours. */
export function openingError(path: string, cause: unknown): StableDiffusionError {
  if (cause instanceof StableDiffusionError) return cause;
  return cause instanceof Error && diskMessages.test(cause.message) ? notWritten(path, cause) : damaged(path, cause);
}

/** Opens the file. Throws `file-corrupt`, or `file-access` where the disk is full. */
function openDatabase(path: string, schema: string): SqliteDatabase {
  const size = existsSync(path) ? statSync(path).size : 0;
  // SQLite would begin an empty file, and the jobs in the write-ahead log would be lost without a word.
  if (size === 0 && existsSync(`${path}-wal`) && statSync(`${path}-wal`).size > 0) throw damaged(path);
  let database: SqliteDatabase | undefined;
  try {
    database = new sqlite.Database(path);
    // This build has no shared memory, so a write-ahead log needs the exclusive mode.
    for (const pragma of ['locking_mode = EXCLUSIVE', 'journal_mode = WAL', 'synchronous = FULL'])
      database.get(`PRAGMA ${pragma}`);
    database.exec(schema);
    return database;
  } catch (cause) {
    try {
      database?.close();
    } catch {
      // it fails again with what it failed with
    }
    throw openingError(path, cause);
  }
}

export class Journal {
  readonly #db: SqliteDatabase;
  readonly #statements = new Map<string, Statement>();
  #waiting: Write[] = [];
  #synchronous: 'FULL' | 'NORMAL' = 'FULL';
  #closed = false;

  /** Opens or creates the file and its folder, which must be this process's own (files/lock-node.ts). Throws `file-corrupt`. */
  constructor(path: string, schema: string) {
    mkdirSync(dirname(path), { recursive: true });
    // This build locks with a folder next to the file, which outlives a killed process. The opener of the journal owns its folder exclusively.
    rmSync(`${path}.lock`, { recursive: true, force: true });
    this.#db = openDatabase(path, schema);
  }

  get isOpen(): boolean {
    return !this.#closed && this.#db.isOpen;
  }

  /** All rows. A query is read to its end: one left open keeps the log from being folded into the file. */
  all(sql: string, values: JSValue[] = []): Row[] {
    return this.#use(sql, (statement) => statement.all(values) as Row[]);
  }

  one(sql: string, values: JSValue[] = []): Row | undefined {
    return this.all(sql, values)[0];
  }

  /** The number of rows changed. */
  run(sql: string, values: JSValue[] = []): number {
    return this.#use(sql, (statement) => statement.run(values).changes);
  }

  /** The column `n` of the first row. */
  count(sql: string, values: JSValue[] = []): number {
    return Number(this.one(sql, values)?.['n'] ?? 0);
  }

  exec(sql: string): void {
    this.#db.exec(sql);
  }

  /** Does the work in the next commit. Rejects with `file-access` if it cannot be written; all of that commit is then undone. */
  write<T>(work: () => T, durable = true): Promise<T> {
    if (this.#closed)
      return Promise.reject(
        new StableDiffusionError('busy', 'The server is shutting down.', { details: { scope: 'shutdown' } }),
      );
    return new Promise<T>((resolve, reject) => {
      if (this.#waiting.length === 0) setImmediate(() => this.#flush());
      this.#waiting.push({
        work,
        durable,
        settle: (outcome) => ('error' in outcome ? reject(outcome.error) : resolve(outcome.value as T)),
      });
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#flush();
    this.#closed = true;
    for (const [sql, statement] of this.#statements) this.#drop(sql, statement);
    this.#db.close();
  }

  #flush(): void {
    const group = this.#waiting;
    this.#waiting = [];
    if (group.length === 0) return;
    let outcomes: readonly Outcome[];
    try {
      outcomes = this.#commit(group);
    } catch (cause) {
      try {
        if (this.#db.inTransaction) this.#db.exec('ROLLBACK');
      } catch {
        // the failed commit has rolled back by itself
      }
      const error = new StableDiffusionError(
        'file-access',
        'The journal of jobs could not be written. The disk may be full.',
        { cause },
      );
      outcomes = group.map(() => ({ error }));
    }
    for (const [i, { settle }] of group.entries()) settle(outcomes[i] ?? { value: undefined });
  }

  #commit(group: readonly Write[]): readonly Outcome[] {
    // Without a flush a commit survives the end of the process; it survives a crash of the machine once a later one is flushed.
    const synchronous = group.some(({ durable }) => durable) ? 'FULL' : 'NORMAL';
    if (synchronous !== this.#synchronous) this.#db.exec(`PRAGMA synchronous = ${synchronous}`);
    this.#synchronous = synchronous;
    this.#db.exec('BEGIN IMMEDIATE');
    const outcomes = group.map(({ work }): Outcome => {
      try {
        return { value: work() };
      } catch (error) {
        if (!(error instanceof StableDiffusionError)) throw error;
        return { error };
      }
    });
    this.#db.exec('COMMIT');
    return outcomes;
  }

  /** Statements stay prepared. One that failed is dropped: it would fail again with the old error. */
  #use<T>(sql: string, work: (statement: Statement) => T): T {
    const statement = this.#statements.get(sql) ?? this.#db.prepare(sql);
    this.#statements.set(sql, statement);
    try {
      return work(statement);
    } catch (error) {
      this.#drop(sql, statement);
      throw error;
    }
  }

  #drop(sql: string, statement: Statement): void {
    this.#statements.delete(sql);
    try {
      statement.finalize();
    } catch {
      // it fails again with what the statement failed with
    }
  }
}
