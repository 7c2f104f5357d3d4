/** `sd run` and `sd workflow`: workflows from files of both formats and from pictures, inputs set from outside, and what is missing. */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readPngText, writePngText } from '../../src/image/metadata/png-text.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { png, testImage } from '../server/start.ts';
import { sd, temporaryFolder } from './run-cli.ts';

/** A red picture that is inverted and saved. */
const graph = {
  1: { class_type: 'EmptyImage', inputs: { width: 24, height: 16, batch_size: 1, color: 0xff0000 } },
  2: { class_type: 'ImageInvert', inputs: { image: ['1', 0] } },
  3: { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'made/x' } },
};

/** The same as the page saves it, with a reroute in between and a muted node behind. */
const page = {
  nodes: [
    { id: 1, type: 'EmptyImage', outputs: [{ type: 'IMAGE' }], widgets_values: [24, 16, 1, 0xff0000] },
    { id: 4, type: 'Reroute', inputs: [{ name: '', type: '*', link: 1 }], outputs: [{ type: 'IMAGE' }] },
    { id: 2, type: 'ImageInvert', inputs: [{ name: 'image', type: 'IMAGE', link: 2 }], outputs: [{ type: 'IMAGE' }] },
    { id: 3, type: 'SaveImage', inputs: [{ name: 'images', type: 'IMAGE', link: 3 }], widgets_values: ['made/x'] },
    { id: 5, type: 'NobodyKnows', mode: 2, inputs: [{ name: 'images', type: 'IMAGE', link: 4 }] },
  ],
  links: [
    [1, 1, 0, 4, 0, 'IMAGE'],
    [2, 4, 0, 2, 0, 'IMAGE'],
    [3, 2, 0, 3, 0, 'IMAGE'],
    [4, 2, 0, 5, 0, 'IMAGE'],
  ],
};

function folderWith(context: Parameters<typeof temporaryFolder>[0], files: Readonly<Record<string, unknown>>): string {
  const folder = temporaryFolder(context);
  for (const [name, content] of Object.entries(files))
    writeFileSync(
      join(folder, name),
      content instanceof Uint8Array ? content : typeof content === 'string' ? content : JSON.stringify(content),
    );
  return folder;
}

async function colourOf(path: string): Promise<readonly number[]> {
  const { width, height, data } = await nodeImageCodec.decode(readFileSync(path));
  return [width, height, ...data.subarray(0, 3)];
}

for (const [format, content] of Object.entries({ API: graph, page, 'POST /prompt': { prompt: graph } }))
  test(`runs a workflow in the format of the ${format}, and prints the path`, async (context) => {
    const folder = folderWith(context, { 'flow.json': content });
    const outdir = join(folder, 'out');
    const { code, out, err } = await sd(['run', join(folder, 'flow.json'), '--outdir', outdir, '--quiet']);
    assert.equal(code, 0, err);
    const path = join(outdir, 'made', 'x_00001_.png');
    assert.equal(out.trim(), path);
    assert.deepEqual(await colourOf(path), [24, 16, 0, 255, 255]);
    const { texts } = readPngText(readFileSync(path));
    assert.deepEqual(Object.keys(JSON.parse(texts.get('prompt') ?? '')), ['1', '2', '3']);
    if (format === 'page') assert.deepEqual(JSON.parse(texts.get('workflow') ?? ''), page);
  });

test('--set changes inputs by number and by class; --json prints what output nodes show', async (context) => {
  const folder = folderWith(context, { 'flow.json': graph });
  const set = ['--set', 'EmptyImage.width=8', '--set', '1.color=255', '--set', '3.filename_prefix=y'];
  const words = ['run', join(folder, 'flow.json'), '--outdir', folder, '--json', ...set];
  const { code, out } = await sd(words);
  assert.equal(code, 0);
  assert.deepEqual(JSON.parse(out), { 3: { images: [{ filename: 'y_00001_.png', subfolder: '', type: 'output' }] } });
  assert.deepEqual(await colourOf(join(folder, 'y_00001_.png')), [8, 16, 255, 255, 0]);
  const wrong = await sd([...words.slice(0, 2), '--set', '9.width=8', '--outdir', folder]);
  assert.notEqual(wrong.code, 0);
  assert.match(wrong.err, /no node "9".*1 \(EmptyImage\)/);
});

test('a picture that carries only the page form of its workflow runs', async (context) => {
  const bytes = await png(testImage(8, 8));
  const folder = folderWith(context, {
    'p.png': writePngText(bytes, [['workflow', JSON.stringify(page)]]),
    'q.png': bytes,
  });
  const { code, out, err } = await sd(['run', join(folder, 'p.png'), '--outdir', folder, '--quiet']);
  assert.equal(code, 0, err);
  assert.match(out, /x_00001_\.png/);
  const without = await sd(['run', join(folder, 'q.png'), '--outdir', folder]);
  assert.notEqual(without.code, 0);
  assert.match(without.err, /carries no workflow/);
});

test('a workflow that fails says which node, and one that is refused says why', async (context) => {
  const loads = { ...graph, 1: { class_type: 'LoadImage', inputs: { image: 'none.png' } } };
  const circle = { ...graph, 1: { class_type: 'ImageInvert', inputs: { image: ['2', 0] } } };
  const folder = folderWith(context, { 'loads.json': loads, 'circle.json': circle, 'none.json': '{' });
  for (const [name, pattern] of [
    ['loads.json', /node 1 \(LoadImage\)/],
    ['circle.json', /cannot be run/],
    ['none.json', /not.*JSON/i],
  ] as const) {
    const { code, err } = await sd(['run', join(folder, name), '--outdir', folder, '--input', folder]);
    assert.notEqual(code, 0);
    assert.match(err, pattern);
  }
});

test('check names nodes and files that are not there, in both formats', async (context) => {
  const lacks = {
    ...graph,
    6: { class_type: 'NobodyKnows', inputs: {} },
    7: { class_type: 'CheckpointLoaderSimple', inputs: { ckpt_name: 'nowhere.safetensors' } },
  };
  const folder = folderWith(context, { 'whole.json': page, 'lacks.json': lacks });
  const whole = await sd(['workflow', 'check', join(folder, 'whole.json')]);
  assert.equal(whole.code, 0);
  assert.match(whole.out, /All 3 nodes/);
  const found = await sd(['workflow', 'check', join(folder, 'lacks.json'), '--json']);
  assert.equal(found.code, 1);
  assert.deepEqual(JSON.parse(found.out), {
    nodes: [{ classType: 'NobodyKnows', nodes: ['6'] }],
    files: [{ kind: 'checkpoints', name: 'nowhere.safetensors', nodes: ['7'] }],
  });
  const shown = await sd(['workflow', 'check', join(folder, 'lacks.json')]);
  assert.match(shown.out, /No node NobodyKnows \(6\)\.\nNo file nowhere\.safetensors in checkpoints \(7\)\./);
});

test("from writes the workflow of a picture's settings, which runs and makes the same picture", async (context) => {
  const folder = temporaryFolder(context);
  const made = await sd(['txt2img', 'a fox', '--steps', '2', '--seed', '3', '--outdir', folder, '--quiet']);
  assert.equal(made.code, 0, made.err);
  const picture = made.out.trim().split('\n').at(-1) ?? '';
  const file = join(folder, 'flow.json');
  const written = await sd(['workflow', 'from', picture, '-o', file]);
  assert.equal(written.code, 0, written.err);
  const again = await sd(['workflow', 'from', picture, '-o', file]);
  assert.notEqual(again.code, 0, 'a file that is there stays without --force');
  const { code, err } = await sd(['run', file, '--outdir', folder, '--quiet']);
  assert.equal(code, 0, err);
});
