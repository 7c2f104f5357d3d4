/** The pictures and features of an evaluation that ranks divide among them: the same as one process has, whatever cannot be read. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { alone, type Communicator } from '../../src/distributed/communicator.ts';
import { picturesOfRank } from '../../src/cli/evaluations/pictures-of-rank.ts';
import { gatherFeatures } from '../../src/evaluation/gather-rows.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { sd, temporaryFolder } from '../cli/run-cli.ts';
import { smallClip } from '../evaluation/small-clip.ts';
import { localRanks } from './local-ranks.ts';
import { onRanks, skip } from './mpi.ts';

/** Files 3, 4 and 20 cannot be read. */
const read = async (index: number): Promise<number | undefined> => ([3, 4, 20].includes(index) ? undefined : index);

async function features(ranks: Communicator, files: number, count: number) {
  const places: number[] = [];
  const values: number[] = [];
  for await (const some of picturesOfRank(ranks, { files, count, atOnce: 4 }, read)) {
    assert.ok(some.length <= 4);
    places.push(...some.map(({ place }) => place));
    values.push(...some.flatMap(({ picture }) => [picture, picture / 2]));
  }
  const own = places.length > 0 ? { features: float32([places.length, 2], values) } : undefined;
  return (await gatherFeatures(ranks, places, own)).features;
}

for (const [files, count] of [
  [30, 30],
  [30, 11],
  [2, 2],
] as const)
  test(`${count} of ${files} pictures on one, two and three ranks`, async () => {
    const want = await features(alone, files, count);
    assert.equal(want.shape[0], Math.min(count, [27, 27, 2][[30, 11, 2].indexOf(count)] ?? 0));
    for (const size of [2, 3])
      for (const got of await Promise.all(localRanks(size).map((ranks) => features(ranks, files, count))))
        assert.deepEqual(got, want);
  });

test('sd eval pictures on 3 ranks has the measures of one process', {
  skip: skip('Open MPI'),
  timeout: 200_000,
}, async (context) => {
  const folders = [temporaryFolder(context), temporaryFolder(context)] as const;
  for (const [f, folder] of folders.entries())
    for (let n = 0; n < 40; n++) {
      const image = createImage(32, 32, 3);
      for (const i of image.data.keys()) image.data[i] = (Math.sin((n + 1) * i * (f + 1) * 0.01) + 1) * (100 + n);
      const png = await nodeImageCodec.encode(image, { format: 'png' });
      writeFileSync(join(folder, `${String(n).padStart(2, '0')}.png`), n === 5 ? Uint8Array.of(1) : png);
    }
  const network = join(folders[0], 'clip.safetensors');
  const clip = smallClip();
  await writeFileAtomic(
    network,
    writeSafetensors(clip.entries.values(), ({ name }) => clip.read(name)),
  );
  const line = [
    'eval',
    'pictures',
    '--real',
    folders[0],
    '--made',
    folders[1],
    '--features',
    network,
    '--threads',
    '1',
    '--json',
  ];
  const one = await sd(line);
  assert.equal(one.code, 0, one.err);
  const three = await onRanks('Open MPI', 3, ['src/cli/main.ts', ...line]);
  assert.equal(three.code, 0, three.err);
  const [want, got] = [JSON.parse(one.out), JSON.parse(three.out)];
  assert.deepEqual(Object.keys(got), Object.keys(want));
  assert.ok(want.fid > 0);
  for (const [name, value] of Object.entries<number>(want))
    assert.ok(
      Math.abs(got[name] - value) <= 1e-6 * Math.max(1, Math.abs(value)),
      `${name}: ${got[name]}, not ${value}`,
    );
});
