/** A disk that is full: what cannot be kept is refused with 503, what was accepted is finished once there is room. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { type JobView, postJob, startServe, untilFinished } from './program.ts';
import { base64Png, testImage } from './start.ts';

const folder = mkdtempSync(join(tmpdir(), 'sd-full-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A command in whose eyes `data` is a disk of its own of this size; it stays visible outside under /proc/PID/root. */
const onSmallDisk = (data: string, size: string): readonly string[] => [
  'unshare',
  process.getuid?.() === 0 ? '-m' : '-Urm',
  'sh',
  '-c',
  `mount -t tmpfs -o size=${size} tmpfs ${data} && exec "$@"`,
  'sh',
];

const probe = join(folder, 'probe');
mkdirSync(probe);
const [unshare = '', ...words] = onSmallDisk(probe, '64k');
const skip =
  spawnSync(unshare, [...words, 'true']).status === 0
    ? false
    : 'this machine lets nobody mount a small disk (unshare, tmpfs)';

/** Fills the disk of a folder to its last bytes. */
function fill(ballast: string): void {
  for (let size = 2 ** 20; size >= 512; size /= 2) {
    for (let i = 0; ; i++) {
      try {
        writeFileSync(join(ballast, `${size}-${i}`), Buffer.alloc(size, 1));
      } catch {
        rmSync(join(ballast, `${size}-${i}`), { force: true });
        break;
      }
    }
  }
}

interface Sent {
  readonly status: number;
  readonly retryAfter: string | null;
  readonly body: { readonly id: string; readonly error?: { readonly code: string; readonly message: string } };
}

async function post(url: string, body: object): Promise<Sent> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return {
    status: response.status,
    retryAfter: response.headers.get('retry-after'),
    body: (await response.json()) as never,
  };
}

async function jobsOf(url: string): Promise<readonly JobView[]> {
  return ((await (await fetch(`${url}/api/v1/jobs?limit=100`)).json()) as { jobs: JobView[] }).jobs;
}

const small = { prompt: 'a red apple', width: 64, height: 64, steps: 2 };

test('a full disk', { skip }, async (t) => {
  const data = join(folder, 'data');
  mkdirSync(data);
  const server = await startServe(['--data', data, '--attempts', '3'], onSmallDisk(data, '2m'));
  const inside = `/proc/${server.process.pid}/root${data}`;
  const ballast = join(inside, 'ballast');
  assert.ok(existsSync(inside), 'the small disk is seen from here');
  try {
    const { id: first } = await postJob(server.url, small);
    assert.equal((await untilFinished(server.url, first)).state, 'done');
    const { id: under } = await postJob(server.url, { ...small, width: 128, height: 128, steps: 60 });
    mkdirSync(ballast);
    fill(ballast);

    await t.test('jobs are refused with 503, a reason and a Retry-After; or else kept', async () => {
      const accepted: string[] = [];
      let refused = 0;
      for (let i = 0; i < 30; i++) {
        const { status, retryAfter, body } = await post(`${server.url}/api/v1/jobs`, {
          ...small,
          seed: i,
          prompt: `${i} `.repeat(800),
        });
        if (status === 202) accepted.push(body.id);
        else {
          refused++;
          assert.equal(status, 503);
          assert.ok(retryAfter);
          assert.equal(body.error?.code, 'file-access');
          assert.match(body.error?.message ?? '', /disk/);
        }
      }
      assert.ok(refused > 0, 'the journal was full');
      const jobs = await jobsOf(server.url);
      for (const id of accepted)
        assert.ok(
          jobs.some((job) => job.id === id),
          'an accepted job is there',
        );
      assert.equal(jobs.length, accepted.length + 2, 'a refused one is not');
    });

    await t.test('pictures are refused with 503 and a reason', async () => {
      const { status, body } = await post(`${server.url}/api/v1/pictures`, {
        image: await base64Png(testImage(300, 300)),
      });
      assert.equal(status, 503);
      assert.match(body.error?.message ?? '', /disk of the picture store is full/);
    });

    await t.test('reading goes on', async () => {
      assert.equal((await fetch(`${server.url}/api/v1/jobs/${first}`)).status, 200);
      assert.equal((await fetch(`${server.url}/sdapi/v1/options`)).status, 200);
      assert.equal((await fetch(`${server.url}/readyz`)).status, 200);
    });

    await t.test('once there is room, everything accepted is finished, and new jobs are taken', async () => {
      rmSync(ballast, { recursive: true });
      assert.equal((await untilFinished(server.url, under)).state, 'done');
      const { id } = await postJob(server.url, small);
      assert.equal((await untilFinished(server.url, id)).state, 'done');
      const jobs = await jobsOf(server.url);
      for (const job of jobs)
        assert.equal((await untilFinished(server.url, job.id)).state, 'done', JSON.stringify(job.error));
    });
  } finally {
    assert.equal(await server.end('SIGTERM'), 0, server.errors());
  }
});
