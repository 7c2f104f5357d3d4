/** Pictures by the command line: the recorded runs of CompVis's scripts and of the pocket model, output files, Ctrl-C. */

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { compareTensor, assertWithin } from '../parity.ts';
import { reference, skipUnless } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';
import { sd, startSd, temporaryFolder } from './run-cli.ts';
import { fast, sharePastOneLevel } from './cli-files.ts';

const fixture = (path: string): string => join(import.meta.dirname, '../../fixtures', path);

interface Case {
  readonly part: string;
  readonly id: string;
  readonly settings: {
    readonly model: string;
    readonly mode?: 'img2img' | 'masked' | 'inpaint9';
    readonly sampler?: string;
    readonly S: number;
    readonly scale: number;
    readonly n: number;
    readonly H: number;
    readonly W: number;
    readonly seed: number;
    readonly eta?: number;
    readonly strength?: number;
    readonly prompts: readonly [string, ...string[]];
    readonly fixed?: boolean;
    readonly n_iter?: number;
  };
  readonly tolerance: { readonly latent: number };
  readonly png: readonly string[];
}

const index = JSON.parse(readFileSync(reference('diffusion/index.json'), 'utf8')) as { cases: Case[] };

/** One of each way to say it; test/pipelines runs all. */
const chosen = [
  'ddim_eta',
  'plms',
  'dpm_solver',
  'ddim_fixed_code_2iter',
  'from_file',
  'img2img_eta',
  'masked_plms',
  'inpaint9_eta0',
];

for (const { id, settings, tolerance, png } of index.cases.filter(({ id }) =>
  chosen.some((name) => id === `pipelines/${name}`),
)) {
  test(`${id}, by CompVis's flags`, async (context) => {
    const folder = temporaryFolder(context);
    const { model, mode, sampler, S, scale, n, seed, eta, strength, prompts, fixed, n_iter } = settings;
    const fromFile = new Set(prompts).size > 1;
    const init = mode ? ['--init-img', reference('diffusion/pipelines/images/init.png')] : [];
    const mask =
      mode === 'masked' || mode === 'inpaint9' ? ['--mask', reference('diffusion/pipelines/images/mask.png')] : [];
    const words = [
      mask.length > 0 ? 'inpaint' : mode ? 'img2img' : 'txt2img',
      '--ckpt',
      reference(`diffusion/pipelines/${model}.ckpt`),
      ...init,
      ...mask,
      ...(fromFile ? ['--from-file', '-'] : ['--prompt', prompts[0]]),
      '--ddim_steps',
      `${S}`,
      '--scale',
      `${scale}`,
      '--seed',
      `${seed}`,
      '--n_samples',
      `${n}`,
      ...(n_iter ? ['--n_iter', `${n_iter}`] : []),
      ...(eta === undefined ? [] : ['--ddim_eta', `${eta}`]),
      ...(strength === undefined ? [] : ['--strength', `${strength}`]),
      ...(sampler === 'plms' ? ['--plms'] : sampler === 'dpm' ? ['--dpm_solver'] : []),
      ...(fixed ? ['--fixed_code'] : []),
      ...(mode ? [] : ['--H', `${settings.H}`, '--W', `${settings.W}`]),
      '--no-watermark',
      '--threads',
      '1',
      '--json',
      '--outdir',
      folder,
      '--save-latents',
      join(folder, 'latents.safetensors'),
    ];
    const { code, out, err } = await sd(words, { input: prompts.map((prompt) => `${prompt}\n`).join('') });
    assert.equal(code, 0, err + out);
    const row = { part: 'cli', case: id, reference: 'CompVis/stable-diffusion scripts' };
    const runs = readTensors(reference('diffusion/pipelines/runs.safetensors'));
    const saved = readTensors(join(folder, 'latents.safetensors'));
    compareTensor(
      { ...row, output: 'latent', tolerance: tolerance.latent },
      pick(saved, 'latents'),
      pick(runs, `${id.replace('pipelines/', '')}.latent`),
    );
    const lines = out
      .trimEnd()
      .split('\n')
      .map(
        (line) =>
          JSON.parse(line) as { path: string; seed: number; record: { sampler: string }; timings: { total: number } },
      );
    assert.equal(lines.length, png.length);
    for (const [i, path] of png.entries()) {
      const error = await sharePastOneLevel(lines[i]?.path ?? '', reference(`diffusion/${path}`));
      assertWithin({ ...row, output: `PNG ${i}: share of values off by more than 1 level`, error, tolerance: 0.001 });
    }
    assert.ok(lines.every(({ seed: said, timings }) => said === seed && timings.total > 0));
    assert.deepEqual(
      readdirSync(join(folder, 'samples')).sort(),
      png.map((_, i) => `0000${i}.png`),
    );
    assert.equal(existsSync(join(folder, 'grid-0000.png')), png.length > 1);
  });
}

/** The model that ships, and the one trained in PyTorch that came before it, each with runs recorded in the original code. */
const pocketModels = [
  {
    part: 'pocket',
    title: 'the pocket model',
    folder: fixture('pocket'),
    model: [],
    reference: 'Stability-AI/stablediffusion',
  },
];

for (const { part, title, folder: recordedIn, model, reference: original } of pocketModels) {
  const runs = JSON.parse(readFileSync(join(recordedIn ?? fixture('pocket'), 'runs.json'), 'utf8')) as {
    name: string;
    prompt: string;
    seed: number;
    steps: number;
    scale: number;
  }[];
  for (const { name, prompt, seed, steps, scale } of runs) {
    test(`${title}: ${name}`, { skip: recordedIn ? false : skipUnless('../pocket') }, async (context) => {
      const folder = temporaryFolder(context);
      const [picture, latents] = [join(folder, 'picture.png'), join(folder, 'latents.safetensors')];
      const { code, err } = await sd([
        'txt2img',
        prompt,
        ...model,
        '--seed',
        `${seed}`,
        '--steps',
        `${steps}`,
        '--scale',
        `${scale}`,
        '--output',
        picture,
        '--save-latents',
        latents,
        '--no-watermark',
      ]);
      assert.equal(code, 0, err);
      const [saved, recorded] = [readTensors(latents), readTensors(join(recordedIn ?? '', 'runs.safetensors'))];
      const row = { part, case: name, reference: original };
      compareTensor(
        { ...row, output: 'start noise', tolerance: 0 },
        pick(saved, 'start_noise'),
        pick(recorded, `${name}.start`),
      );
      compareTensor(
        { ...row, output: 'latent', tolerance: 2e-3 },
        pick(saved, 'latents'),
        pick(recorded, `${name}.latent`),
      );
      assertWithin({
        ...row,
        output: 'PNG: share of values off by more than 1 level',
        error: await sharePastOneLevel(picture, join(recordedIn ?? '', `${name}.png`)),
        tolerance: 0.001,
      });
      assert.deepEqual(readdirSync(folder).sort(), ['latents.safetensors', 'picture.png']);
    });
  }
}

test('in a terminal: a progress bar, and the picture', async (context) => {
  const folder = temporaryFolder(context);
  const { code, out, err } = await sd(['txt2img', 'x', ...fast, '--steps', '3', '--outdir', folder], {
    columns: 80,
    environment: { TERM: 'xterm-256color' },
  });
  assert.equal(code, 0);
  assert.match(err, /sampling 3\/3 █{24}/);
  assert.match(out, /samples\/00000\.png\n.*▀/s);
});

test('--skip_save writes the grid alone', async (context) => {
  const folder = temporaryFolder(context);
  const { code, out } = await sd([
    'txt2img',
    'x',
    ...fast,
    '--steps',
    '2',
    '--n_samples',
    '2',
    '--skip_save',
    '--outdir',
    folder,
  ]);
  assert.equal(code, 0);
  assert.deepEqual(readdirSync(join(folder, 'samples')), []);
  assert.equal(out, `${join(folder, 'grid-0000.png')}\n`);
});

test('a folder that cannot be made is told before the work', async (context) => {
  const folder = temporaryFolder(context);
  writeFileSync(join(folder, 'file'), '');
  const { code, err } = await sd(['txt2img', 'x', ...fast, '--outdir', join(folder, 'file/inside')]);
  assert.equal(code, 1);
  assert.match(err, /\[file-(access|not-found)\]/);
});

test('the program itself, cold: a picture, and Ctrl-C leaves nothing behind', async (context) => {
  const folder = temporaryFolder(context);
  const finished = (child: ReturnType<typeof startSd>): Promise<{ code: number | null; signal: string | null }> =>
    new Promise((resolve) => child.on('exit', (code, signal) => resolve({ code, signal })));
  const made = startSd(['txt2img', 'a', 'red', 'apple', '--steps', '3'], folder);
  assert.deepEqual(await finished(made), { code: 0, signal: null });
  assert.ok(existsSync(join(folder, 'outputs/txt2img-samples/samples/00000.png')));

  const child = startSd(
    [
      'txt2img',
      'a red apple',
      '--steps',
      '5000',
      '--output',
      'out/apple.png',
      '--save-latents',
      'out/l.safetensors',
      '--preview-file',
      'out/preview.png',
    ],
    folder,
  );
  const told: string[] = [];
  child.stderr.on('data', (data) => told.push(String(data)));
  const end = finished(child);
  // The first preview shows that it samples.
  while (!existsSync(join(folder, 'out/preview.png'))) await new Promise((resolve) => setTimeout(resolve, 100));
  child.kill('SIGINT');
  assert.deepEqual(await end, { code: 130, signal: null });
  assert.match(told.join(''), /^sd: Interrupted\. \[aborted\]\n$/);
  assert.deepEqual(readdirSync(join(folder, 'out')), ['preview.png']);
});
