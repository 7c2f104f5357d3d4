/** `sd mcp`, spoken to by the official SDK's own client over standard input and output. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { inspectImageFile } from '../../src/image/codec/image-file.ts';
import { sdWords } from '../programs.ts';
import { temporaryFolder } from './run-cli.ts';

interface Result {
  readonly isError?: boolean;
  readonly content: readonly { readonly type: string; readonly text?: string; readonly data?: string }[];
}

test('an assistant lists models, makes a picture and changes it', async (context) => {
  const root = join(import.meta.dirname, '../..');
  const outdir = temporaryFolder(context);
  const client = new Client({ name: 'test', version: '1' });
  await client.connect(
    new StdioClientTransport({
      command: process.execPath,
      args: [...sdWords, 'mcp', '--outdir', outdir],
      cwd: root,
    }),
  );
  context.after(() => client.close());
  const { tools } = await client.listTools();
  assert.deepEqual(tools.map(({ name }) => name).sort(), ['edit_image', 'generate_image', 'list_models']);
  const call = async (name: string, given: object, onprogress?: () => void): Promise<Result> =>
    (await client.callTool({ name, arguments: { ...given } }, undefined, {
      timeout: 600_000,
      ...(onprogress ? { onprogress } : {}),
    })) as Result;

  assert.equal((await call('list_models', {})).content[0]?.text, 'pocket');
  let steps = 0;
  const small = { prompt: 'red apple', width: 64, height: 64, steps: 2, seed: 7 };
  const made = await call('generate_image', small, () => steps++);
  assert.equal(made.isError, undefined, JSON.stringify(made).slice(0, 300));
  const bytes = new Uint8Array(Buffer.from(made.content[0]?.data ?? '', 'base64'));
  assert.deepEqual([inspectImageFile(bytes).width, inspectImageFile(bytes).height], [64, 64]);
  assert.ok(steps >= 1, 'progress');
  const name = made.content[1]?.text?.split(' ')[0] ?? '';
  assert.match(name, /^\d{4}-\d{2}-\d{2}\/00001-7\.png$/);
  assert.deepEqual(new Uint8Array(readFileSync(join(outdir, name))), bytes);

  const edited = await call('edit_image', { prompt: 'blue heart', image: name, steps: 2, seed: 1 });
  assert.equal(edited.isError, undefined, JSON.stringify(edited).slice(0, 300));
  assert.notEqual(edited.content[0]?.data, made.content[0]?.data);
  for (const image of ['../../etc/passwd', '/etc/passwd', 'nosuch.png']) {
    const refused = await call('edit_image', { prompt: 'x', image });
    assert.equal(refused.isError, true);
    assert.doesNotMatch(JSON.stringify(refused), /root:/);
  }
  assert.match(
    (await call('generate_image', { prompt: 'x', model: 'nosuch' })).content[0]?.text ?? '',
    /Unknown model.*not-found/,
  );
  assert.ok(existsSync(outdir));

  // Huge arguments, and more calls at once than wait.
  for (const given of [
    { prompt: 'x'.repeat(2_000_000) },
    { prompt: 'x', model: '../'.repeat(100_000) },
    { prompt: 'x', sampler: 's'.repeat(1_000_000) },
    { prompt: 'x', width: 1e9 },
  ])
    assert.ok(
      await call('generate_image', given).then(
        ({ isError }) => isError === true,
        () => true,
      ),
    );
  const huge = await call('edit_image', { prompt: 'x', image: 'A'.repeat(46_000_000) });
  assert.match(huge.content[0]?.text ?? '', /too-large/);
  const tiny = { prompt: 'x', width: 64, height: 64, steps: 1 };
  const answers = await Promise.all(Array.from({ length: 24 }, () => call('generate_image', tiny)));
  const busy = answers.filter(
    ({ isError, content }) => isError && /calls wait already.*busy/.test(content[0]?.text ?? ''),
  );
  assert.equal(busy.length, 8);
  assert.equal(answers.filter(({ isError }) => !isError).length, 16);
});
