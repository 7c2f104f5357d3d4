/** The codec for Node against the conformance suite and the valid and hostile files of files/images. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import fc from 'fast-check';
import { StableDiffusionError } from '../../src/errors.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { assertWithin } from '../parity.ts';
import { reference } from '../reference.ts';
import { codecConformance, type ExpectedFile } from './codec-conformance.ts';

const { files } = JSON.parse(readFileSync(reference('files/images/expected.json'), 'utf8')) as {
  readonly files: readonly ExpectedFile[];
};

for (const { name, run } of codecConformance(
  nodeImageCodec,
  files,
  async (file) => new Uint8Array(await readFile(reference(`files/images/${file}`))),
)) {
  test(name, async () => {
    for (const row of await run())
      assertWithin({ part: 'files/images', case: name.split(':')[0] ?? name, reference: 'Pillow 13.0.0', ...row });
  });
}

test('damaged files end in an image or one of our errors (fuzzing, seeded)', async () => {
  const seeds = [
    'plain.png',
    'plain.jpg',
    'plain.webp',
    'progressive.jpg',
    'palette-alpha.png',
    'interlaced.png',
    'animated.gif',
    'cmyk.jpg',
  ].map((name) => new Uint8Array(readFileSync(reference(`files/images/${name}`))));
  const change = fc.record({ at: fc.nat(), byte: fc.nat(255) });
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...seeds),
      fc.array(change, { minLength: 1, maxLength: 8 }),
      async (seed, changes) => {
        const bytes = seed.slice();
        for (const { at, byte } of changes) bytes[at % bytes.length] = byte;
        try {
          const { width, height, channels, data } = await nodeImageCodec.decode(bytes, { maxPixels: 2 ** 22 });
          assert.equal(data.length, width * height * channels);
        } catch (error) {
          assert.ok(error instanceof StableDiffusionError, String(error));
        }
      },
    ),
    { numRuns: 400, seed: 7, interruptAfterTimeLimit: 5000 },
  );
});
