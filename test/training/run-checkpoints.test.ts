/** Checkpoints of a run: the last and the best, damage, and kill -9. */

import assert from 'node:assert/strict';
import { thisOwner } from '../../src/files/owner-node.ts';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openCheckpoints } from '../../src/training/run/checkpoints-node.ts';
import { openRun } from '../../src/training/run/run-folder-node.ts';
import { inFolder, options, content } from './run-content.ts';

test('checkpoints: the last and the best k are kept; an error about damage says what to do', () =>
  inFolder(async (folder) => {
    const checkpoints = await openCheckpoints(folder, { keepBest: 2 });
    assert.equal(await checkpoints.last(), undefined);
    for (const [i, score] of [0.5, 0.3, 0.9, 0.3, Number.NaN, 0.1].entries())
      await checkpoints.save(content(i + 1, score));
    assert.deepEqual(
      (await checkpoints.best()).map(({ step, score }) => [step, score]),
      [
        [6, 0.1],
        [4, 0.3],
      ],
    );
    const last = await checkpoints.last();
    assert.equal(last?.step, 6);
    await last?.weights.close();
    await checkpoints.save(content(7));
    assert.deepEqual(readdirSync(folder).sort(), [
      'best-00000004-0.3.safetensors',
      'best-00000006-0.1.safetensors',
      'last.safetensors',
    ]);
    const { host, space } = thisOwner();
    writeFileSync(join(folder, `.sd-${host}-00000000-${space}-1-1-00000000.tmp`), 'half of a boot before');
    truncateSync(join(folder, 'last.safetensors'), 100);
    await assert.rejects((await openCheckpoints(folder)).last(), { code: 'file-truncated', message: /best-00000006/ });
    assert.ok(!readdirSync(folder).some((name) => name.endsWith('.tmp')));
    writeFileSync(join(folder, 'last.safetensors'), readFileSync(join(folder, 'best-00000006-0.1.safetensors')));
    const highest = await openCheckpoints(folder, { keepBest: 2, better: 'highest' });
    assert.deepEqual(
      (await highest.best()).map(({ step }) => step),
      [4, 6],
    );
    await assert.rejects(
      checkpoints.save({
        ...content(8),
        provide: () => {
          throw new Error('NaN');
        },
      }),
      /NaN/,
    );
    const kept = await checkpoints.last();
    assert.equal(kept?.step, 6);
    await kept?.weights.close();
  }));

test('checkpoints: a flipped bit, a state that is not one and a newest checkpoint that is gone are named, never passed over', () =>
  inFolder(async (folder) => {
    const checkpoints = await openCheckpoints(join(folder, 'checkpoints'));
    await checkpoints.save(content(4, 0.5));
    const path = join(folder, 'checkpoints', 'last.safetensors');
    const whole = readFileSync(path);
    const flipped = Uint8Array.from(whole);
    flipped[flipped.length - 34] = (flipped[flipped.length - 34] as number) ^ 1;
    writeFileSync(path, flipped);
    await assert.rejects(checkpoints.last(), { code: 'file-corrupt', message: /digest/ });
    for (const state of [null, 3, '{']) {
      await checkpoints.save({ ...content(4), state });
      await assert.rejects(checkpoints.last(), { code: 'file-corrupt', message: /state/ });
    }
    await checkpoints.save({ ...content(4), step: -5 });
    await assert.rejects(checkpoints.last(), { code: 'file-corrupt' });
    rmSync(path);
    writeFileSync(join(folder, 'config.yaml'), options.config);
    await assert.rejects(openRun(folder, { ...options, resume: true }), { code: 'file-not-found', message: /best-/ });
  }));

test('checkpoints: kill -9 at any moment leaves one that loads whole', () =>
  inFolder(async (folder) => {
    const script = join(folder, 'writer.mjs');
    const root = join(import.meta.dirname, '../..');
    writeFileSync(
      script,
      `
    const { openCheckpoints } = await import(${JSON.stringify(join(root, 'src/training/run/checkpoints-node.ts'))});
    const checkpoints = await openCheckpoints(${JSON.stringify(join(folder, 'checkpoints'))}, { keepBest: 2 });
    const last = await checkpoints.last();
    await last?.weights.close();
    for (let step = (last?.step ?? 0) + 1; ; step++) {
      const data = new Float32Array(300_000).fill(step);
      const entries = ['a', 'b', 'c'].map((name) => ({ name, dtype: 'float32', shape: [data.length] }));
      await checkpoints.save({ step, state: { step }, score: Math.sin(step), entries, provide: () => ({ dtype: 'float32', shape: [data.length], data }) });
      if (step === (last?.step ?? 0) + 1) console.log('saved');
    }`,
    );
    let step = 0;
    for (let round = 0; round < 6; round++) {
      const child = spawn(process.execPath, ['--import', join(root, 'tools/typescript.mjs'), script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await new Promise((resolve) => child.stdout.once('data', resolve));
      await new Promise((resolve) => setTimeout(resolve, 7 + 23 * round)); // moments within writes, not a wait for anything
      child.kill('SIGKILL');
      await new Promise((resolve) => child.once('exit', resolve));
      const checkpoints = await openCheckpoints(join(folder, 'checkpoints'));
      const last = await checkpoints.last();
      assert.ok(last && last.step > step);
      step = last.step;
      assert.deepEqual(last.state, { step });
      for (const name of ['a', 'b', 'c'])
        assert.ok((await last.weights.read(name)).data.every((value) => value === step));
      await last.weights.close();
      for (const { path } of await checkpoints.best()) assert.ok(readFileSync(path).length > 3_600_000);
    }
  }));
