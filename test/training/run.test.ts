/** A run's folder: event files read back by an independent reader, metrics, report, progress. */

import assert from 'node:assert/strict';
import { appendFileSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createImage } from '../../src/image/image.ts';
import { crc32c, maskedCrc32c } from '../../src/files/crc32c.ts';
import { openMetricsLog } from '../../src/training/run/metrics-log-node.ts';
import { duration, progressLine, progressMeter } from '../../src/training/run/progress.ts';
import { openRun } from '../../src/training/run/run-folder-node.ts';
import { runReport } from '../../src/training/run/run-report.ts';
import { inFolder, options, content } from './run-content.ts';

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
