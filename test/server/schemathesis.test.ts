/**
 * Schemathesis on the server's own OpenAPI document: requests made from its schemas, good and bad, are answered as it says, and never with
 * an unexplained 5xx. Skipped where it is not installed (pip install schemathesis).
 */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { startTestServer } from './start.ts';

const skip =
  spawnSync('schemathesis', ['--version']).status === 0
    ? false
    : 'schemathesis is not installed: pip install schemathesis';

const checks = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_schema_conformance',
  'response_headers_conformance',
  'ignored_auth',
];

test('schemathesis finds nothing', { skip, timeout: 600_000 }, async () => {
  const secret = 'a-secret-for-schemathesis';
  // Small, so that jobs that are accepted are soon made.
  const server = await startTestServer({
    threads: 1,
    keys: [{ name: 'tester', secret }],
    limits: { pixels: 64 * 64, steps: 2, pictures: 2, inputPixels: 256 * 256 },
  });
  const folder = mkdtempSync(join(tmpdir(), 'sd-schemathesis-'));
  try {
    const words = [
      'run',
      `${server.url}/openapi.json`,
      '--header',
      `Authorization: Bearer ${secret}`,
      '--checks',
      checks.join(),
      '--phases',
      'coverage,fuzzing',
      '--max-examples',
      process.env['SCHEMATHESIS_EXAMPLES'] ?? '3',
      '--seed',
      '1',
      '--generation-deterministic',
      '--continue-on-failure',
      '--request-timeout',
      '120',
      '--no-color',
      '--suppress-health-check',
      'all',
      '--warnings',
      'off',
    ];
    // Beside this process, which answers.
    const child = spawn('schemathesis', words, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (said += text.toString()));
    const code = await new Promise((resolve) => child.once('exit', resolve));
    assert.equal(code, 0, said);
    assert.match(said, /Tested: {1,3}\d+/);
  } finally {
    await server.stop(0);
    rmSync(folder, { recursive: true, force: true });
  }
});
