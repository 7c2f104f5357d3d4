/** Options of `sd serve` from the environment and from a file. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { serve } from '../../src/cli/commands/serve.ts';
import { outsideSettings, variableOf } from '../../src/cli/outside-settings.ts';
import { UsageError } from '../../src/cli/options.ts';
import { sd, temporaryFolder } from './run-cli.ts';

const { options } = serve;

test('each option has a variable; lists have commas, switches say true or false', async () => {
  assert.equal(variableOf(options.modelsInMemory), 'SD_MODELS_IN_MEMORY');
  const found = await outsideSettings(
    options,
    {
      SD_MODEL: 'x.ckpt',
      SD_PORT: '8080',
      SD_NO_SAFETY: 'true',
      SD_OPEN: '0',
      SD_CORS_ORIGIN: 'https://a,https://b',
      SD_HOST: '',
    },
    undefined,
  );
  assert.deepEqual(found, {
    model: 'x.ckpt',
    port: 8080,
    noSafety: true,
    open: false,
    cors: ['https://a', 'https://b'],
  });
  for (const [name, text] of [
    ['SD_PORT', 'abc'],
    ['SD_OPEN', 'perhaps'],
    ['SD_DEVICE', 'mps'],
  ] as const)
    await assert.rejects(
      outsideSettings(options, { [name]: text }, undefined),
      (error: Error) => error instanceof UsageError && error.message.startsWith(name),
    );
});

test('a file gives options by their names; the environment counts before it', async (context) => {
  const path = join(temporaryFolder(context), 'serve.yaml');
  writeFileSync(path, 'port: 1\nmax-queue: 5\nno_work: true\napi-key: [a:11111111, b:22222222]\n');
  assert.deepEqual(await outsideSettings(options, { SD_PORT: '2' }, path), {
    port: 2,
    queueLength: 5,
    noWork: true,
    keys: ['a:11111111', 'b:22222222'],
  });
  for (const [text, message] of [
    ['max-queu: 5', /unknown option "max-queu".*Did you mean max-queue/],
    ['port: [1, 2]', /one value/],
    ['port: x', /^port in .*whole number/],
    ['- a', /list of options/],
  ] as const) {
    writeFileSync(path, text);
    await assert.rejects(
      outsideSettings(options, {}, path),
      (error: Error) => error instanceof UsageError && message.test(error.message),
    );
  }
});

test('the command line counts before both, and sd serve reads them', async (context) => {
  const path = join(temporaryFolder(context), 'serve.yaml');
  writeFileSync(path, 'host: 0.0.0.0\n');
  const environment = { SD_DATA: temporaryFolder(context) };
  const open = await sd(['serve', '--port', '0', '--config', path], { environment });
  assert.match(open.err, /everybody who reaches 0\.0\.0\.0/);
  const half = await sd(['serve', '--port', '0', '--host', '127.0.0.1', '--tls-cert', 'x'], {
    environment: { ...environment, SD_CONFIG: path },
  });
  assert.match(half.err, /--tls-cert needs --tls-key FILE/);
});
