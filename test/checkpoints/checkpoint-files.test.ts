/** Malicious and corrupt `.ckpt` files are refused for their reason. The verdict of every recorded file is a recorded case (test/parity). */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { reference } from '../reference.ts';

const folder = reference('files/ckpt');

const peak = () => process.resourceUsage().maxRSS / 1024;
const peakBefore = peak();

after(() => {
  assert.equal(existsSync(join(tmpdir(), 'sd-ts-unsafe-marker')), false, 'no payload ran');
  assert.equal('polluted' in {}, false, 'Object.prototype is untouched');
  assert.ok(peak() - peakBefore < 250, `memory stays bounded: the peak rose by ${Math.round(peak() - peakBefore)} MiB`);
});

const refusals: readonly (readonly [string, string, RegExp])[] = [
  ['evil-stack-global-memo.ckpt', 'file-unsafe', /needs "os\.system"/],
  ['evil-build-state.ckpt', 'file-unsafe', /"torch\.nn\.modules\.module\.Module"/],
  ['evil-plain-pickle.ckpt', 'file-unsafe', /"os\.system"/],
  ['evil-second-data-pkl.ckpt', 'file-unsafe', /two records/],
  ['zip-bomb-200MB.ckpt', 'file-unsafe', /inflate/],
  ['zip-bomb-lying-size.ckpt', 'file-unsafe', /declares only 16/],
  ['geo-expand-200MB.ckpt', 'file-unsafe', /expand/],
  ['zip-truncated-half.ckpt', 'file-truncated', /truncated/],
  ['not-lfs-pointer.ckpt', 'file-corrupt', /Git LFS pointer.*4265380512 bytes/],
  ['not-html.ckpt', 'file-corrupt', /web page/],
  ['not-tar.ckpt', 'file-unsupported', /tar/],
  ['complex.ckpt', 'file-unsupported', /"complex".*complex64/],
];
for (const [file, code, reason] of refusals) {
  test(`${file} is refused for its reason`, () =>
    assert.rejects(openWeightsAt(join(folder, file)), { name: 'StableDiffusionError', code, message: reason }));
}

test('values that are no tensors are metadata', async () => {
  const source = await openWeightsAt(join(folder, 'lightning.ckpt'));
  assert.equal(source.metadata?.get('global_step'), 470000);
  assert.equal(source.metadata?.get('pytorch-lightning_version'), '1.4.2');
  await source.close();
});
