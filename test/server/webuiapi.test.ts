/** A1111's API by the unmodified `webuiapi` package of PyPI. Skipped where Python or the package is not installed. */

import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'node:test';
import { startTestServer } from './start.ts';

const skip =
  spawnSync('python3', ['-c', 'import webuiapi']).status === 0
    ? false
    : 'python3 with webuiapi is not installed (pip install webuiapi)';
/** Scripts that are chosen by `script_name`, in the order of their names. */
const forBoth = ['prompt matrix', 'prompts from file or textbox', 'x/y/z plot'];
const forPictures = [...forBoth, 'loopback', 'outpainting mk2', "poor man's outpainting", 'sd upscale'].sort();
const builtIn = [
  'comments',
  'extra options',
  'hypertile',
  'refiner',
  'sampler',
  'seed',
  'soft inpainting',
  'controlnet',
  'controlnet m2m',
];
const script = fileURLToPath(new URL('./webuiapi_client.py', import.meta.url));

interface Seen {
  readonly [what: string]: unknown;
  readonly progress: {
    readonly share: number;
    readonly job_count: number;
    readonly step: number;
    readonly preview: boolean;
  };
  readonly png_info: string;
}

for (const key of [undefined, 'a-secret-of-bob']) {
  test(`webuiapi, ${key ? 'with a key' : 'without keys'}`, { skip }, async () => {
    const server = await startTestServer(key ? { keys: [{ name: 'bob', secret: key }] } : {});
    try {
      const { stdout } = await promisify(execFile)(
        'python3',
        [script, new URL(server.url).port, ...(key ? [key] : [])],
        { timeout: 120_000 },
      );
      const { progress, png_info, ...seen } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Seen;
      assert.match(png_info, /^a red apple\nNegative prompt: blue\nSteps: 2, Sampler: Euler a, .*Seed: 5, Size: 64x64/);
      assert.ok(progress.share > 0 && progress.share < 1 && progress.step > 0 && progress.preview);
      assert.equal(progress.job_count, 4);
      assert.deepEqual(seen, {
        txt2img: {
          sizes: [
            [64, 64],
            [64, 64],
          ],
          seeds: [5, 6],
          steps: 2,
          mode: 'RGB',
        },
        img2img: { sizes: [[64, 64]], strength: 0.5, changed: true },
        inpaint: { kept: true, painted: true },
        extras: [96, 96],
        extras_batch: [
          [128, 128],
          [128, 128],
        ],
        hires: [96, 96],
        set_options: null,
        clip_skip: 2,
        model: seen['model'],
        lists: {
          models: [seen['model']],
          samplers: true,
          schedulers: true,
          upscalers: ['None', 'Lanczos', 'Nearest'],
          modes: 6,
          vae: [],
          loras: [],
          embeddings: { loaded: {}, skipped: {} },
          styles: [],
          hypernetworks: [],
          restorers: [],
          scripts: {
            txt2img: [...forBoth, ...builtIn.filter((name) => name !== 'soft inpainting')],
            img2img: [...forPictures, ...builtIn],
          },
          flags: true,
          memory: ['cuda', 'ram'],
          refresh: null,
        },
        idle: 0,
        interrupt: {},
        interrupted: 1,
        refused: 400,
      });
      assert.match(String(seen['model']), /^pocket\.safetensors/);
    } finally {
      await server.stop();
    }
  });
}
