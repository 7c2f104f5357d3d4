/**
 * A lock on a folder that holds between processes, containers and hosts: a note of its holder, created exclusively, whose time the holder
 * renews. A holder on this machine counts as gone when its process has ended; one that cannot be seen from here, when the note was not
 * renewed for `patience`. The holder checks the note at each beat: if it was lost anyway, `lost` fires, and the work must stop.
 */

import { randomUUID } from 'node:crypto';
import { link, open, rename, rm, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { StableDiffusionError } from '../errors.ts';
import { systemCode, writeError } from './file-error-node.ts';
import { openRegular, readTextIfThere } from './open-node.ts';
import { type Owner, stateOf, thisOwner } from './owner-node.ts';
import { temporaryName } from './temporary-node.ts';

export interface LockOptions {
  /** A label of the locked thing for messages: `the run folder runs/x`. */
  readonly what: string;
  /** Milliseconds between two beats. Default 2000. */
  readonly beat?: number;
  /** Milliseconds without a beat after which a holder that cannot be seen counts as gone. Default 15,000. */
  readonly patience?: number;
}

export interface Lock {
  /** Fires when the note was removed or replaced. */
  readonly lost: AbortSignal;
  /** Gives the lock back. Never throws. */
  release(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

interface Note extends Owner {
  readonly id: string;
  readonly hostname: string;
  /** ISO 8601. */
  readonly since: string;
}

/** Takes the lock whose note is at `path`. Throws `busy` with who holds it, or `file-access`. */
export async function takeLock(path: string, options: LockOptions): Promise<Lock> {
  const { beat = 2000, patience = 15_000 } = options;
  const note: Note = { ...thisOwner(), id: randomUUID(), hostname: hostname(), since: new Date().toISOString() };
  for (let attempt = 0; ; attempt++) {
    if (await create(path, note)) return hold(path, note.id, beat);
    const holder = await readNote(path);
    if (holder === undefined) {
      // Given back meanwhile; or a link that leads nowhere, which never goes away.
      if (attempt > 20) throw notALock(path);
      await wait(5 * attempt);
      continue;
    }
    if (attempt > 20 || !(await isGone(path, holder, beat, patience))) throw busy(options.what, path, holder);
    await removeNote(path, holder.id);
  }
}

async function create(path: string, note: Note): Promise<boolean> {
  // Whole when it appears: a note that is half written could be read as nobody's.
  const temporary = join(dirname(path), temporaryName());
  try {
    const handle = await open(temporary, 'wx');
    await handle.writeFile(`${JSON.stringify(note)}\n`);
    await handle.close();
    await link(temporary, path);
    return true;
  } catch (cause) {
    if (systemCode(cause) === 'EEXIST') return false;
    throw writeError(path, cause);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Undefined if the note no longer exists. A damaged note has no owner. */
async function readNote(path: string): Promise<Note | undefined> {
  const text = await readTextIfThere('note', path);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const fields = typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  const string = (name: string): string => (typeof fields[name] === 'string' ? fields[name] : '');
  return {
    id: string('id'),
    hostname: string('hostname'),
    since: string('since'),
    host: string('host'),
    boot: string('boot'),
    space: string('space'),
    start: string('start'),
    pid: Number(fields['pid']) || 0,
  };
}

/** A holder that cannot be seen is watched, not judged by clocks, which differ between machines. */
async function isGone(path: string, holder: Note, beat: number, patience: number): Promise<boolean> {
  const state = stateOf(holder);
  if (state !== 'unknown') return state === 'dead';
  const before = await timeOf(path);
  for (let waited = 0; waited < patience; waited += beat) {
    await wait(beat);
    if ((await timeOf(path)) !== before) return false;
  }
  return true;
}

async function timeOf(path: string): Promise<number | undefined> {
  // Opened each time: NFS may answer from its memory otherwise.
  const file = await openRegular(path).catch(() => undefined);
  await file?.handle.close();
  return file?.identity.modified;
}

/** Removes the note of a dead holder; restores a note that someone else wrote meanwhile. */
async function removeNote(path: string, id: string): Promise<void> {
  const aside = join(dirname(path), temporaryName());
  try {
    await rename(path, aside);
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return;
    throw writeError(path, cause);
  }
  if ((await readNote(aside))?.id !== id) await link(aside, path).catch(() => undefined);
  await rm(aside, { force: true });
}

function hold(path: string, id: string, beat: number): Lock {
  const lost = new AbortController();
  const timer = setInterval(() => {
    void renew().catch(() => undefined);
  }, beat);
  timer.unref();
  async function renew(): Promise<void> {
    const note = await readNote(path);
    if (note?.id === id) {
      const now = new Date();
      await utimes(path, now, now);
      return;
    }
    clearInterval(timer);
    lost.abort(new StableDiffusionError('busy', `The lock ${path} was taken away by another process.`));
  }
  const release = async (): Promise<void> => {
    clearInterval(timer);
    if ((await readNote(path).catch(() => undefined))?.id === id)
      await rm(path, { force: true }).catch(() => undefined);
  };
  return { lost: lost.signal, release, [Symbol.asyncDispose]: release };
}

function notALock(path: string): StableDiffusionError {
  return new StableDiffusionError('file-access', `${path} is neither there nor free: it may be a link. Remove it.`);
}

function busy(what: string, path: string, { hostname: host, pid, since }: Note): StableDiffusionError {
  const holder =
    pid > 0 ? `process ${pid} on ${host || 'an unknown host'}${since ? ` since ${since}` : ''}` : 'a process';
  return new StableDiffusionError(
    'busy',
    `${what} is in use by ${holder}. Wait until it ends, or end it. If it does not run any more, remove ${path}.`,
    { details: { pid, host, since } },
  );
}
