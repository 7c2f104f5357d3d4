/** `sd serve --nodes DIR`: nodes of an operator's own, from modules in a folder. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { startTestServer } from './start.ts';

// One of the modules is TypeScript, which Node 20 does not read by itself.
await import(pathToFileURL(join(import.meta.dirname, '../../tools/typescript.mjs')).href);

function folderWith(context: TestContext, files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'sd-nodes-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}

const joinTexts = `
export default {
  name: 'JoinTexts',
  category: 'own',
  required: { a: ['STRING', { default: '' }], b: ['STRING', { default: '!' }] },
  outputs: ['STRING'],
  run: ({ a, b }) => [a + b],
};`;
const two = `
const node = (name) => ({ name, outputs: ['INT'], run: () => [1] });
export const nodes = [node('OwnOne'), node('OwnTwo')];`;

test('nodes of a folder are described, and run with the others', async (context) => {
  const folder = folderWith(context, { 'join.mjs': joinTexts, 'two.ts': two, 'notes.txt': 'no module' });
  const server = await startTestServer({ nodesFolder: folder });
  try {
    const info = (await server.json('GET', '/object_info')).body as Record<string, Record<string, unknown>>;
    assert.deepEqual(info['JoinTexts']?.['input'], {
      required: { a: ['STRING', { default: '' }], b: ['STRING', { default: '!' }] },
    });
    assert.ok(info['OwnOne'] && info['OwnTwo'] && info['KSampler']);
    const prompt = {
      1: { class_type: 'JoinTexts', inputs: { a: 'well', b: ' done' } },
      2: { class_type: 'PreviewAny', inputs: { source: ['1', 0] } },
    };
    const { prompt_id: id } = (await server.json('POST', '/prompt', { prompt })).body as { prompt_id: string };
    for (;;) {
      const history = (await server.json('GET', `/history/${id}`)).body as Record<string, { outputs: unknown }>;
      if (!history[id]) continue;
      assert.deepEqual(history[id].outputs, { 2: { text: ['well done'] } });
      break;
    }
  } finally {
    await server.stop();
  }
});

test('a module that cannot be loaded, and one without a node, are named', async (context) => {
  for (const [text, pattern] of [
    ['throw new Error("broken on purpose");', /bad\.mjs cannot be loaded: broken on purpose/],
    ['export default { name: "NoRun", outputs: [] };', /bad\.mjs has no node at place 0/],
  ] as const) {
    const nodesFolder = folderWith(context, { 'bad.mjs': text });
    await assert.rejects(startTestServer({ nodesFolder }), pattern);
  }
  await assert.rejects(startTestServer({ nodesFolder: '/nowhere/nodes' }), { code: 'file-not-found' });
});
