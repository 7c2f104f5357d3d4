/** Settings of jobs beyond a prompt and a size: the second pass, variations, presets. */

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { base64Png, decode, startTestServer, type TestServer, testImage } from './start.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.stop());

interface JobView {
  readonly id: string;
  readonly state: string;
  readonly request: Record<string, unknown>;
  readonly result: { readonly images: readonly { readonly url: string; readonly infotext: string }[] } | null;
}
const small = { prompt: 'a red apple', width: 64, height: 64, steps: 2 };

const post = async (body: unknown): Promise<JobView> => (await server.json('POST', '/api/v1/jobs', body)).body;

/** The job once it has ended. */
async function ended({ id }: JobView): Promise<JobView> {
  for (;;) {
    const job: JobView = (await server.json('GET', `/api/v1/jobs/${id}`)).body;
    if (job.state !== 'queued' && job.state !== 'running') return job;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('a second pass at a larger size; its names are checked', async () => {
  const job = await post({ ...small, hires: { scale: 1.5, steps: 1, upscaler: 'nearest', prompt: 'a pear' } });
  const done = await ended(job);
  const [image] = done.result?.images ?? [];
  assert.match(
    image?.infotext ?? '',
    /Denoising strength: 0\.7, .*Hires prompt: a pear, Hires upscale: 1\.5, Hires steps: 1, Hires upscaler: Nearest/,
  );
  const file = await fetch(`${server.url}${image?.url}`);
  const picture = await decode(Buffer.from(await file.arrayBuffer()).toString('base64'));
  assert.deepEqual([picture.width, picture.height], [96, 96]);
  for (const [hires, says] of [
    [{ sampler: 'nosuch' }, /nosuch/],
    [{ schedule: 'nosuch' }, /nosuch/],
    [{ scale: 2, width: 96 }, /scale, or width and height/],
    [{ scale: 17 }, /16/],
    [{ upscaler: 'ESRGAN' }, /lanczos/],
  ] as const) {
    const { status, body } = await server.json('POST', '/api/v1/jobs', { ...small, hires });
    assert.equal(status, 422, JSON.stringify(hires));
    assert.match(JSON.stringify(body), says);
  }
  const unknown = await server.json('POST', '/api/v1/jobs', { ...small, hires: { model: 'nosuch' } });
  assert.equal(unknown.status, 404);
  const image64 = base64Png(testImage(64, 64));
  const refused = await server.json('POST', '/api/v1/jobs', { ...small, task: 'img2img', image: image64, hires: {} });
  assert.equal(refused.status, 422);
});

test('the seed of a variation, by either of its names', async () => {
  const first = await post({ ...small, seed: 5, variation: { seed: 9, strength: 0.5 } });
  const second = await post({ ...small, seed: 5, noiseSettings: { subseed: 9, subseedStrength: 0.5 } });
  assert.deepEqual(first.request['variation'], { seed: 9, strength: 0.5 });
  assert.deepEqual(second.request['variation'], { seed: 9, strength: 0.5 });
});

test("a preset decides sampler, spacing, steps and guidance; the caller's own values replace them", async () => {
  const { prompt, width, height } = small;
  const job = await post({ prompt, width, height, preset: 'lcm', steps: 2 });
  const { sampler, schedule, steps, guidanceScale, preset } = job.request;
  assert.deepEqual([sampler, schedule, steps, guidanceScale, preset], ['k-lcm', 'sgm_uniform', 2, 1, 'lcm']);
  const done = await ended(job);
  assert.match(
    done.result?.images[0]?.infotext ?? '',
    /Steps: 2, Sampler: LCM, Schedule type: SGM Uniform, CFG scale: 1/,
  );
  assert.equal((await server.json('POST', '/api/v1/jobs', { ...small, preset: 'slow' })).status, 422);
});
