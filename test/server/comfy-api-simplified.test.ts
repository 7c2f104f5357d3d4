/** comfy-api-simplified (PyPI), unmodified, against the server; skipped where Python or the package is not installed. */

import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { pocketGraph } from './comfyui-graph.ts';
import { png, startTestServer, testImage } from './start.ts';

const skip =
  spawnSync('python3', ['-c', 'import comfy_api_simplified']).status === 0
    ? false
    : 'python3 with comfy-api-simplified is not installed (pip install comfy-api-simplified)';
const script = join(import.meta.dirname, 'comfy_api_simplified_client.py');

test('comfy-api-simplified sets inputs by title, waits for a picture, uploads one and asks for nodes', {
  skip,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sd-simplified-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const server = await startTestServer();
  t.after(() => server.stop());
  const graph = Object.entries(pocketGraph()).map(([id, node]) => [id, { ...node, _meta: { title: node.class_type } }]);
  const workflow = join(folder, 'workflow.json');
  writeFileSync(workflow, JSON.stringify(Object.fromEntries(graph)));
  const picture = join(folder, 'mine.png');
  writeFileSync(picture, await png(testImage(32, 32)));
  const { stdout } = await promisify(execFile)('python3', [script, server.url, workflow, picture], {
    timeout: 120_000,
  });
  assert.deepEqual(JSON.parse(stdout), {
    names: ['ComfyUI_00001_.png'],
    sizes: [[64, 64]],
    uploaded: 'mine.png',
    nodes: true,
    embeddings: [],
    queue: [0, 0],
  });
});
