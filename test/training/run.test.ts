/** A run's folder: event files read back by an independent reader, metrics, checkpoints that survive kill -9, report, progress. */

import assert from 'node:assert/strict';
import { thisOwner } from '../../src/files/owner-node.ts';
import { spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { openCheckpoints } from '../../src/training/run/checkpoints-node.ts';
import { crc32c, maskedCrc32c } from '../../src/files/crc32c.ts';
import { openMetricsLog } from '../../src/training/run/metrics-log-node.ts';
import { duration, progressLine, progressMeter } from '../../src/training/run/progress.ts';
import { openRun, type RunOptions } from '../../src/training/run/run-folder-node.ts';
import { runReport } from '../../src/training/run/run-report.ts';

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'run-'));
  try {
    await work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('CRC-32C: the vectors of RFC 3720, and the masked form', () => {
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c);
  assert.equal(crc32c(new TextEncoder().encode('123456789')), 0xe3069283);
  const crc = 0xe3069283;
  assert.equal(
    maskedCrc32c(new TextEncoder().encode('123456789')),
    (((crc >>> 15) | ((crc << 17) >>> 0)) + 0xa282ead8) % 2 ** 32,
  );
});

/** Wire format: field number to its values, numbers as bigint and everything else as bytes. */
function fieldsOf(bytes: Uint8Array): Map<number, (bigint | Uint8Array)[]> {
  const out = new Map<number, (bigint | Uint8Array)[]>();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++] as number;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const kind = tag & 7;
    const length = kind === 1 ? 8 : kind === 5 ? 4 : kind === 2 ? Number(varint()) : 0;
    const value = kind === 0 ? varint() : new Uint8Array(bytes.subarray(at, at + length));
    at += length;
    out.set(tag >> 3, [...(out.get(tag >> 3) ?? []), value]);
  }
  return out;
}

function readEvents(file: Uint8Array): Map<number, (bigint | Uint8Array)[]>[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const events = [];
  for (let at = 0; at < file.length; ) {
    const length = Number(view.getBigUint64(at, true));
    assert.equal(view.getUint32(at + 8, true), maskedCrc32c(file.subarray(at, at + 8)));
    const data = file.subarray(at + 12, at + 12 + length);
    assert.equal(view.getUint32(at + 12 + length, true), maskedCrc32c(data));
    events.push(fieldsOf(data));
    at += 16 + length;
  }
  return events;
}

const clock = () => 1_700_000_000_250;
const options: RunOptions = {
  title: 'pocket <1>',
  config: 'model: pocket\n',
  resume: false,
  clock,
  codec: nodeImageCodec,
};
const content = (step: number, score?: number) => {
  const tensors: Readonly<Record<string, Tensor>> = { weight: float32([3], [step, step + 1, step + 2]) };
  return {
    step,
    state: { step, list: [1, 'é'] },
    entries: Object.entries(tensors).map(([name, { dtype, shape }]) => ({ name, dtype, shape })),
    provide: ({ name }: { readonly name: string }) => tensors[name] as Tensor,
    score,
  };
};
const text = (value: bigint | Uint8Array | undefined): string => new TextDecoder().decode(value as Uint8Array);
const part = (value: bigint | Uint8Array | undefined) => fieldsOf(value as Uint8Array);
const view = (value: bigint | Uint8Array | undefined): DataView => new DataView((value as Uint8Array).buffer);

test('TensorBoard: version, scalars, pictures and the restart of a resumed run', () =>
  inFolder(async (folder) => {
    const run = await openRun(folder, options);
    await run.scalars(5, { 'train/loss': 0.25, lr: 1e-4 });
    const images = [0, 100, 200].map((level) => createImage(4, 3, 3, new Uint8Array(36).fill(level)));
    const path = await run.samples(5, images, { columns: 2, captions: ['a', '<b>'] });
    await run.checkpoints.save(content(5));
    await run.close();
    const again = await openRun(folder, { ...options, resume: true });
    await again.close();
    const files = readdirSync(folder)
      .filter((name) => name.startsWith('events.out.tfevents.1700000000.'))
      .sort();
    assert.equal(files.length, 2);
    const [version, scalars, picture] = readEvents(readFileSync(join(folder, files[0] as string)));
    assert.equal(text(version?.get(3)?.[0]), 'brain.Event:2');
    assert.equal(view(version?.get(1)?.[0]).getFloat64(0, true), 1_700_000_000.25);
    assert.equal(scalars?.get(2)?.[0], 5n);
    const values = part(scalars?.get(5)?.[0]).get(1) ?? [];
    assert.deepEqual(
      values.map((value) => [text(part(value).get(1)?.[0]), view(part(value).get(2)?.[0]).getFloat32(0, true)]),
      [
        ['train/loss', 0.25],
        ['lr', Math.fround(1e-4)],
      ],
    );
    const image = part(part(part(picture?.get(5)?.[0]).get(1)?.[0]).get(4)?.[0]);
    assert.deepEqual([image.get(1)?.[0], image.get(2)?.[0], image.get(3)?.[0]], [12n, 14n, 3n]);
    assert.deepEqual(Buffer.from(image.get(4)?.[0] as Uint8Array), readFileSync(path));
    const [, restart] = readEvents(readFileSync(join(folder, files[1] as string)));
    assert.equal(restart?.get(2)?.[0], 6n);
    assert.equal(part(restart?.get(7)?.[0]).get(1)?.[0], 1n);
  }));

test('a run is not started over another; resumed it drops what came after its checkpoint', () =>
  inFolder(async (folder) => {
    const run = await openRun(folder, options);
    assert.equal(run.resumed, undefined);
    for (let step = 1; step <= 4; step++) {
      await run.scalars(step, { loss: step });
      if (step === 2) await run.checkpoints.save(content(2));
    }
    await run.samples(2, [createImage(2, 2, 3)]);
    await run.samples(4, [createImage(2, 2, 3)]);
    await run.close();
    appendFileSync(join(folder, 'metrics.jsonl'), '{"step":5,"time":1,"lo');
    await assert.rejects(openRun(folder, options), { code: 'invalid-argument' });
    const again = await openRun(folder, { ...options, resume: true, config: 'model: other\n' });
    assert.equal(again.resumed?.step, 2);
    assert.deepEqual(again.resumed?.state, { step: 2, list: [1, 'é'] });
    assert.deepEqual((await again.resumed?.weights.read('weight'))?.data, Float32Array.of(2, 3, 4));
    await again.resumed?.weights.close();
    await again.scalars(3, { loss: Number.NaN });
    const page = readFileSync(await again.report({ status: 'running', progress: '3/10', problems: '' }), 'utf8');
    assert.equal(page.match(/<figure>/g)?.length, 1);
    await again.close();
    assert.deepEqual(
      readFileSync(join(folder, 'metrics.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
        .map(({ step, loss }) => [step, loss]),
      [
        [1, 1],
        [2, 2],
        [3, 'NaN'],
      ],
    );
    assert.ok(readdirSync(folder).includes('config.until-step-00000002.yaml'));
    const log = await openMetricsLog(join(folder, 'metrics.jsonl'), 10);
    assert.ok(Number.isNaN(log.rows[2]?.values['loss']));
    await log.close();
  }));

test('checkpoints: last and the best k; damage is told with the way out', () =>
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

test('a run that ended before its first checkpoint begins again and says so; two runs at once are refused', () =>
  inFolder(async (folder) => {
    const first = await openRun(folder, options);
    assert.equal(first.beganAgain, false);
    await assert.rejects(openRun(folder, { ...options, resume: true }), { code: 'busy' });
    await first.close();
    const again = await openRun(folder, { ...options, resume: true });
    assert.equal(again.beganAgain, true);
    await again.close();
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

test('report: one file without scripts or addresses, values and texts escaped, refreshed while it runs', () => {
  const metrics = Array.from({ length: 2000 }, (_, i) => ({
    step: i,
    time: 0,
    values: {
      'train/loss': i === 700 ? Number.NaN : 1 / (i + 1),
      ...(i % 500 === 0 ? { 'val/fid': 50 - i / 100 } : {}),
    },
  }));
  const base = {
    title: 'a <b>',
    updated: 'now',
    progress: '1/2',
    metrics,
    samples: [{ step: 3, picture: 'data:image/webp;base64,AAAA', captions: ['<script>alert(1)</script>'] }],
    problems: 'corrupt-image: 1 (x & y)',
    config: 'a: <b>',
  };
  const page = runReport({ ...base, status: 'running' });
  assert.ok(!/<script|https?:\/\/(?!www\.w3\.org\/2000\/svg)|NaN/.test(page));
  assert.ok(
    page.includes('&lt;script&gt;') &&
      page.includes('x &amp; y') &&
      page.includes('train/loss') &&
      page.includes('val/fid') &&
      page.includes('http-equiv="refresh"'),
  );
  assert.ok(page.length < 200_000);
  assert.ok(!runReport({ ...base, status: 'finished' }).includes('http-equiv="refresh"'));
  assert.ok(
    runReport({ ...base, metrics: [], samples: [], problems: '', status: 'running' }).includes('No values yet'),
  );
});

test('progress: rates, time left, the line and its width', () => {
  const meter = progressMeter({ total: 100, batchSize: 8, start: 10, now: 0 });
  let state = meter.update(11, 500);
  assert.deepEqual([state.stepsPerSecond, state.itemsPerSecond, state.secondsLeft], [2, 16, 44.5]);
  for (let step = 12; step <= 50; step++) state = meter.update(step, (step - 10) * 500);
  assert.ok(Math.abs((state.stepsPerSecond as number) - 2) < 1e-9);
  assert.equal(
    progressLine(state, { loss: 0.08123 }),
    '50/100 ━━━━━━━━╌╌╌╌╌╌╌╌  50%  loss 0.0812  2.00 it/s  16.0 img/s  25s left',
  );
  assert.ok(progressLine(state, { loss: 0.08123, other: 12345.678 }, 60).length <= 60);
  assert.equal(
    progressLine(progressMeter({ total: 100, batchSize: 1, now: 0 }).update(1, 4000)),
    '1/100 ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌   1%  4.00 s/it  0.2500 img/s  6m 36s left',
  );
  assert.deepEqual([0.4, 59.6, 3599.7, 86399.7, 200000, Number.POSITIVE_INFINITY].map(duration), [
    '0s',
    '1m 00s',
    '1h 00m',
    '1d 00h',
    '2d 07h',
    '?',
  ]);
});
