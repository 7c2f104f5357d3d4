/** JobTable: queries and updates of the journal's table of jobs. Nothing here waits or notifies. */

import type { JSValue } from 'node-sqlite3-wasm';
import { StableDiffusionError } from '../../errors.ts';
import { workOfJob } from '../admission/work.ts';
import { batchKey, type Job, type JobState, type NewJob, pictureCount, priorities } from '../job.ts';
import { createFairShare, type FairShare } from './fair-share.ts';
import { jobTable, packedRequest, readJob, updateTable } from './job-rows.ts';
import { type Admission, busy, type JobList, type ListQuery } from './queue.ts';
import { Journal, type Row } from './sqlite-journal.ts';

/** Characters of JSON in one list of jobs. */
const listSize = 2 ** 20;

/** Milliseconds of past work that count for fair shares when the queue is opened. */
const recent = 10 * 60 * 1000;

export class JobTable {
  readonly journal: Journal;
  readonly share: FairShare;
  readonly #now: () => number;

  /** Opens the journal. Throws `file-corrupt`. */
  constructor(path: string, now: () => number) {
    this.journal = new Journal(path, `${jobTable.split(';', 1)[0]};`);
    this.#now = now;
    updateTable(this.journal);
    this.journal.exec(jobTable);
    const begun = this.journal.all(
      `SELECT owner, sum(work) AS work FROM jobs WHERE state <> 'queued' AND started > ? GROUP BY owner`,
      [now() - recent],
    );
    this.share = createFairShare(begun.map((row) => [String(row['owner']), Number(row['work'])] as const));
  }

  /** Jobs that ran when the process died are queued again, or given up, because the job itself may crash the process. */
  putBackRunning(attempts: number): void {
    const message = `The server ended ${attempts} times while it made this job.`;
    this.journal.run(
      `UPDATE jobs SET state = 'failed', finished = ?, error = ? WHERE state = 'running' AND attempt >= ?`,
      [this.#now(), JSON.stringify({ code: 'engine-failed', message }), attempts],
    );
    this.journal.run(`UPDATE jobs SET state = 'queued', started = NULL WHERE state = 'running'`);
  }

  find(id: string): Job | undefined {
    const row = this.journal.one('SELECT * FROM jobs WHERE id = ?', [id]);
    return row && readJob(row).job;
  }

  /** The job that a statement changed, after the change; undefined if there was none. */
  changed(sql: string, values: JSValue[]): Job | undefined {
    const row = this.journal.one(`${sql} RETURNING *`, values);
    return row && readJob(row).job;
  }

  countOf(state: JobState): number {
    return this.journal.count(`SELECT count(*) AS n FROM jobs WHERE state = '${state}'`);
  }

  insert(job: NewJob, admission: Admission): Job {
    const known = this.find(job.id);
    if (known) return known;
    const queued = this.countOf('queued');
    if (queued >= admission.queueLength) throw busy('queue', queued);
    const open = this.journal.count(
      `SELECT count(*) AS n FROM jobs WHERE owner = ? AND state IN ('queued', 'running')`,
      [job.owner],
    );
    if (open >= admission.queuePerCaller) throw busy('caller', open);
    return this.changed(
      'INSERT INTO jobs (id, owner, source, state, priority, work, batch, pictures, request, created, place) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
      [
        job.id,
        job.owner,
        job.source,
        'queued',
        priorities.indexOf(job.priority),
        workOfJob(job),
        batchKey(job),
        pictureCount(job),
        packedRequest(job.request),
        this.#now(),
        this.#placeOf(job),
      ],
    ) as Job;
  }

  /** The place just ahead of the job that this one goes before; null for the last. */
  #placeOf({ owner, priority, before }: NewJob): number | null {
    if (before === undefined) return null;
    const waiting = `FROM jobs WHERE state = 'queued' AND owner = ? AND priority = ?`;
    const who = [owner, priorities.indexOf(priority)];
    const target = this.journal.one(`SELECT coalesce(place, seq) AS place ${waiting} AND id = ?`, [...who, before]);
    if (!target) return null;
    const at = Number(target['place']);
    const ahead = this.journal.one(
      `SELECT max(coalesce(place, seq)) AS place ${waiting} AND coalesce(place, seq) < ?`,
      [...who, at],
    )?.['place'];
    return ahead === null || ahead === undefined ? at - 1 : (Number(ahead) + at) / 2;
  }

  /** The caller whose turn it is, of those that have jobs and are not barred; of equal ones, the one that has waited longest. */
  nextOwner(barred: ReadonlySet<string>): string | undefined {
    const rows = this.journal.all(
      `SELECT owner, min(seq) AS first FROM jobs WHERE state = 'queued' GROUP BY owner ORDER BY first`,
    );
    return this.share.next(rows.map((row) => String(row['owner'])).filter((owner) => !barred.has(owner)));
  }

  take(pictures: number, barred: ReadonlySet<string>): readonly Job[] {
    const owner = this.nextOwner(barred);
    if (owner === undefined) return [];
    const first = this.journal.one(
      `SELECT * FROM jobs WHERE state = 'queued' AND owner = ? ORDER BY priority, coalesce(place, seq), seq LIMIT 1`,
      [owner],
    );
    if (!first) return [];
    const others = this.journal.all(
      `SELECT * FROM jobs WHERE state = 'queued' AND batch = ? AND id <> ? ORDER BY priority, coalesce(place, seq), seq LIMIT ?`,
      [String(first['batch']), String(first['id']), pictures],
    );
    let room = pictures - Number(first['pictures']);
    const together = others.filter((row) => {
      // A job that was there when the process ended is tried alone before it counts.
      const fits = Number(row['pictures']) <= room && Number(row['attempt']) === 0 && Number(first['attempt']) === 0;
      if (fits) room -= Number(row['pictures']);
      return fits;
    });
    return [first, ...together].flatMap((row) => this.#begin(row) ?? []);
  }

  /** Gives a job out. One whose entry is damaged fails, and does not hold up those behind it. */
  #begin(row: Row): Job | undefined {
    const id = String(row['id']);
    if (!tryRead(row)) {
      const error = { code: 'file-corrupt', message: "The journal's entry of this job is damaged." };
      this.journal.run(`UPDATE jobs SET state = 'failed', finished = ?, error = ? WHERE id = ?`, [
        this.#now(),
        JSON.stringify(error),
        id,
      ]);
      return undefined;
    }
    this.share.charge(String(row['owner']), Number(row['work']));
    return this.changed(`UPDATE jobs SET state = 'running', attempt = attempt + 1, started = ? WHERE id = ?`, [
      this.#now(),
      id,
    ]);
  }

  list({ owner, state, source, before, limit }: ListQuery): JobList {
    const seq =
      before === undefined
        ? Number.MAX_SAFE_INTEGER
        : Number(this.journal.one('SELECT seq FROM jobs WHERE id = ?', [before])?.['seq'] ?? 0);
    const rows = this.journal.all(
      `SELECT * FROM jobs WHERE owner = ? AND seq < ?${state ? ' AND state = ?' : ''}${source ? ' AND source = ?' : ''} ORDER BY seq DESC LIMIT ?`,
      [owner, seq, ...(state ? [state] : []), ...(source ? [source] : []), limit],
    );
    const jobs: Job[] = [];
    let size = 0;
    for (const [i, row] of rows.entries()) {
      const found = tryRead(row);
      if (found) jobs.push(found.job);
      size += found?.size ?? 0;
      const isLast = i === rows.length - 1;
      if (size > listSize && !isLast) return { jobs, next: String(row['id']) };
    }
    return { jobs, next: rows.length === limit ? String(rows.at(-1)?.['id']) : null };
  }
}

/** A job that cannot be read is left out of lists. */
function tryRead(row: Row): ReturnType<typeof readJob> | undefined {
  try {
    return readJob(row);
  } catch (error) {
    if (error instanceof StableDiffusionError) return undefined;
    throw error;
  }
}
