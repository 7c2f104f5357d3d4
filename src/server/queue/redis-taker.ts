/** RedisTaker: takes jobs from BullMQ in the name of this process, and keeps their locks until they are ended. */

import { randomUUID } from 'node:crypto';
import { batchKey, type Job, pictureCount } from '../job.ts';
import { type Bull, jobOf, type RedisConnection, type Taken } from './redis-connection.ts';
import { notBegunScript, timeScript } from './redis-scripts.ts';

/** Number of jobs of excluded callers to inspect before a taker gives up. */
const passedOver = 16;

/** BullMQ's words for a job whose lock is another's. */
const lostLock = ['missing lock', 'missing key', 'not in the active state', 'lock mismatch'];

function isLost(error: unknown): boolean {
  const message = error instanceof Error ? error.message.toLowerCase() : '';
  return lostLock.some((words) => message.includes(words));
}

export class RedisTaker {
  readonly #connection: RedisConnection;
  readonly #held = new Map<string, Taken>();
  readonly #renewal: NodeJS.Timeout;
  #begun = false;

  constructor(connection: RedisConnection) {
    this.#connection = connection;
    this.#renewal = setInterval(() => this.#renew(), connection.options.lockMilliseconds / 3);
  }

  close(): void {
    clearInterval(this.#renewal);
  }

  /** From now on this process counts as one that takes jobs. */
  begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    this.#sign();
  }

  /** A sign of life of any taker, which Redis forgets by itself. */
  #sign(): void {
    const { redis, options } = this.#connection;
    redis.set(this.#connection.key('taker'), '1', 'PX', options.lockMilliseconds).catch(options.onError);
  }

  #renew(): void {
    if (this.#begun) this.#sign();
    if (this.#held.size === 0) return;
    const tokens = [...this.#held.values()].map(({ token }) => token);
    const { lockMilliseconds, onError } = this.#connection.options;
    this.#connection.worker.extendJobLocks([...this.#held.keys()], tokens, lockMilliseconds).catch(onError);
  }

  /** Ends a job in BullMQ. False if its lock is another's. */
  async settle(job: Job, end: (taken: Taken) => Promise<unknown>): Promise<boolean> {
    const mine = this.#held.get(job.id);
    this.#held.delete(job.id);
    if (!mine) return false;
    try {
      await end(mine);
      return true;
    } catch (error) {
      if (isLost(error)) return false;
      throw error;
    }
  }

  /** A job whose lock is lost is another's: there is nothing to put back. */
  async putBack({ bull, token }: Taken): Promise<void> {
    this.#held.delete(bull.data.id);
    const key = this.#connection.bullKey(String(bull.id));
    await this.#connection.redis.eval(notBegunScript, '2', key, `${key}:lock`, token);
    try {
      await bull.moveToWait(token);
    } catch (error) {
      if (!isLost(error)) throw error;
    }
  }

  async #next(): Promise<Taken | undefined> {
    for (;;) {
      const token = randomUUID();
      const bull = (await this.#connection.worker.getNextJob(token, { block: false })) as Bull | undefined;
      if (!bull?.id) return undefined;
      if (!(await this.#connection.isCancelled(bull.id))) {
        // Its lock is kept from now on: taking more can last longer than a lock.
        this.#held.set(bull.data.id, { bull, token });
        return { bull, token };
      }
      await bull.moveToFailed(this.#connection.final('cancelled'), token).catch(this.#connection.options.onError);
    }
  }

  /** The first job of a caller that is not barred. */
  async #first(barred: ReadonlySet<string>): Promise<Taken | undefined> {
    const passed: Taken[] = [];
    try {
      while (passed.length < passedOver) {
        const taken = await this.#next();
        if (!taken || !barred.has(taken.bull.data.owner)) return taken;
        passed.push(taken);
      }
      return undefined;
    } finally {
      for (const taken of passed) await this.putBack(taken);
    }
  }

  async takeNow(pictures: number, barred: ReadonlySet<string>): Promise<readonly Job[]> {
    const first = await this.#first(barred);
    if (!first) return [];
    const taken: [Taken, ...Taken[]] = [first];
    try {
      return await this.#takeWith(taken, pictures);
    } catch (error) {
      for (const one of taken) await this.putBack(one).catch(this.#connection.options.onError);
      throw error;
    }
  }

  /** Adds to the first job those that can be made with it. */
  async #takeWith(taken: [Taken, ...Taken[]], pictures: number): Promise<readonly Job[]> {
    const [first] = taken;
    const wanted = batchKey(first.bull.data);
    let room = pictures - pictureCount(first.bull.data);
    while (room > 0 && wanted !== first.bull.data.id) {
      const other = await this.#next();
      if (!other) break;
      const size = pictureCount(other.bull.data);
      if (batchKey(other.bull.data) !== wanted || size > room) {
        await this.putBack(other);
        this.#connection.channel.tell({ wake: true });
        break;
      }
      room -= size;
      taken.push(other);
    }
    await this.#connection.redis.eval(
      timeScript,
      '1',
      this.#connection.key('time'),
      String(Math.max(0, first.bull.priority - 1)),
    );
    return Promise.all(
      taken.map(async ({ bull }) => {
        await this.#connection.redis.hdel(this.#connection.key('turns', bull.data.owner), bull.data.id);
        return jobOf(bull, 'running');
      }),
    );
  }
}
